"""``python -m vld_tui.launch.queue HOME``: process the queue of a home."""

from __future__ import annotations

import sys
from pathlib import Path

from vld_tui.home import Home
from vld_tui.launch.queue.supervisor import main

if __name__ == "__main__":
    main(Home(Path(sys.argv[1])))
