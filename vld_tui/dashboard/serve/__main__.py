"""``python -m vld_tui.dashboard.serve HOME PID``: one window's dashboard, for server PID."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

from vld_tui.dashboard.app import make_dashboard
from vld_tui.home import Home

POLL_S: Final = 1.0
END_PATIENCE_S: Final = 3.0


def _end_with(server_pid: int) -> None:
    """End this process when the server has ended, even if it was killed."""
    while os.getppid() == server_pid:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)  # Textual exits cleanly
    time.sleep(END_PATIENCE_S)
    os._exit(1)


def main(home: Home, server_pid: int) -> None:
    """Run the dashboard of a home over the pipes to the server."""
    threading.Thread(target=_end_with, args=(server_pid,), daemon=True).start()
    make_dashboard(home).run()


if __name__ == "__main__":
    main(Home(Path(sys.argv[1])), int(sys.argv[2]))
