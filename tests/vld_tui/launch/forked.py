"""``python -m tests.vld_tui.launch.forked END``: describes itself in one line, then ends so.

END is an exit code, or ``wait``: until it is killed.
"""

from __future__ import annotations

import json
import os
import sys
import time

from engine.rundir import ProcessInfo

if __name__ == "__main__":
    files = {
        name: os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
    }
    described = {
        "arguments": sys.argv[1:],
        "flavour": os.environ.get("FLAVOUR"),
        "is_leader": os.getsid(0) == os.getpid(),
        "parent": os.getppid(),
        "birth": ProcessInfo.of(os.getpid()).birth,
        "files": sorted(file for file in files.values() if "/fd" not in file),
        "stdin": sys.stdin.read(),
    }
    sys.stdout.write(f"{json.dumps(described)}\n")
    sys.stdout.flush()
    sys.stderr.write("a warning\n")
    if sys.argv[1] == "wait":
        time.sleep(600)
    sys.exit(int(sys.argv[1]))
