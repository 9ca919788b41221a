"""``vld`` whose runs are taken up by the stand-in engine."""

from __future__ import annotations

import sys
from pathlib import Path

from vld_tui.launch.local import launch

STAND_IN_COMMAND = (sys.executable, str(Path(__file__).with_name("stand_in_engine.py")))


if __name__ == "__main__":
    launch.__defaults__ = (STAND_IN_COMMAND,)  # for all modules that have imported it

    from vld_tui.cli import main

    main()
