"""``python -m engine.diagnose REQUEST``: diagnostics of finished runs, reported as JSON lines.

For programs that do not import torch; see :mod:`engine.protocol.work`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.machine.processor import keep_freed_memory, let_waiting_threads_sleep

let_waiting_threads_sleep()  # before torch is imported

from engine.protocol.suspects import FindSuspects, Suspects  # noqa: E402
from engine.work import Reporter, work  # noqa: E402


def _find_suspects(request: FindSuspects, report: Reporter) -> Suspects:
    from engine.diagnose.suspects import find_suspects

    return find_suspects(request, report)


WORK: Final[Mapping[type, Callable[[Any, Reporter], object]]] = {FindSuspects: _find_suspects}
"""Handlers by request type."""


if __name__ == "__main__":
    keep_freed_memory()
    exit_code = work(sys.argv[1:], FindSuspects, WORK)
    gc.freeze()  # otherwise the interpreter's last collections take a second for torch's objects
    sys.exit(exit_code)
