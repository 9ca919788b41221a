"""The server and its children: what others see of them, and how they end."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from tests.vld_tui.dashboard.serve.conftest import PATIENCE_S, Serve
from tests.waiting import wait_until


def _text_of(process: psutil.Process) -> str:
    return " ".join(process.cmdline()) + str(process.environ())


def test_the_token_is_printed_once_and_nowhere_else(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    served.ask(f"/?token={served.token}")
    window = served.open_window()
    assert served.dashboards()
    for process in [psutil.Process(served.process.pid), *served.dashboards()]:
        assert served.token not in _text_of(process)
    window.close()
    wait_until(lambda: not served.dashboards())
    served.process.terminate()
    out, err = served.process.communicate(timeout=PATIENCE_S)
    assert served.process.returncode == 0
    assert err == ""
    assert served.token not in out  # what came after the first line


def test_ctrl_c_ends_it_with_its_children(serve: Serve) -> None:
    served = serve()
    windows = [served.open_window(), served.open_window()]
    dashboards = served.dashboards()
    assert len(dashboards) == 2
    served.process.send_signal(signal.SIGINT)
    _, err = served.process.communicate(timeout=PATIENCE_S)
    assert (served.process.returncode, err) == (0, "")
    assert not any(dashboard.is_running() for dashboard in dashboards)
    for window in windows:
        window.close()


def test_its_children_end_when_it_is_killed(serve: Serve) -> None:
    served = serve()
    window = served.open_window()
    (dashboard,) = served.dashboards()
    served.process.kill()
    wait_until(lambda: not dashboard.is_running())
    window.close()
