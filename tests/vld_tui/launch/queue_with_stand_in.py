"""``python queue_with_stand_in.py HOME``: the queue, whose runs are taken up by the stand-in."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.vld_tui.launch.queue_stand_in import start_stand_in
from vld_tui.home import Home
from vld_tui.launch.queue import main

if __name__ == "__main__":
    main(Home(Path(sys.argv[1])), start_stand_in)
