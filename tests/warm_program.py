"""``python -m tests.warm_program WORDS…``: what ``python WORDS…`` does, perhaps with a server."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys

from tests.warm_processes import WarmPopen, server_within

if __name__ == "__main__":
    words = sys.argv[1:]
    if server := server_within(words):
        server.fork_here()
        subprocess.Popen = WarmPopen  # type: ignore[misc]
    match words:
        case ["-m", module, *arguments]:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *arguments] | ["-u", "-c", code, *arguments]:
            sys.argv = ["-c", *arguments]
            exec(code, {"__name__": "__main__"})
        case [program, *_]:
            sys.argv = words
            sys.path.insert(0, os.path.dirname(program))
            runpy.run_path(program, run_name="__main__")
