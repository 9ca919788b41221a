"""``vld`` whose runs are taken up by the stand-in engine."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from vld_tui.launch import local

STAND_IN_COMMAND = (sys.executable, str(Path(__file__).with_name("stand_in_engine.py")))


if __name__ == "__main__":
    local.launch = functools.partial(local.launch, command=STAND_IN_COMMAND)

    from vld_tui.cli import main

    main()
