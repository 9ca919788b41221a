"""What runs would take, in words."""

from __future__ import annotations

from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.study.forecast import Forecast
from vld_tui.views.plan import forecast_text


def test_what_no_run_tells_is_unknown() -> None:
    told = forecast_text(Forecast()).plain
    assert told.startswith("time, memory and disk unknown: no earlier run with this network")
    assert told.endswith("on this device")


def test_disk_is_told_by_another_machines_run_too() -> None:
    run = make_run(0, name="far away")
    told = forecast_text(Forecast(disk_bytes=2048, disk_from=run)).plain
    assert told.endswith(" · 2.0 KiB of checkpoints, as for far away")


def test_what_was_not_measured_is_named() -> None:
    run = make_run(0, name="run\x1b[31m", device="cuda:0")
    known = Forecast(60, run, ("reading the images",), 2**30)
    assert forecast_text(known).plain == (
        "about 1m 00s, not counting reading the images · 1.0 GiB of main memory"
        "  from run␛[31m on this machine, same network and image size · disk unknown"
    )
    assert "memory unknown" in forecast_text(Forecast(60, run)).plain
