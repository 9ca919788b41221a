"""A run that was asked to stop through its folder says so until it does."""

from __future__ import annotations

import socket

from engine.protocol import RunStopped
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller, stopped
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.views.run_status import trouble_line


def test_a_run_is_stopping_from_the_request_until_it_has(home: Home, submitted: Run) -> None:
    run_id, run_dir = submitted.run_id, home.run_dir(submitted.run_id)
    vld, source = Vld(home.path), HistorySource(home)
    interest = Interest(watched=(run_id,), opened=run_id)
    Teller(run_dir).starts()

    def heading() -> str:
        opened = source.take(interest).opened
        assert opened is not None
        contents = opened.contents
        return str(trouble_line(opened.curves.run, (), contents.suspended_pid, contents.stop_asked))

    assert heading() == "None"
    with Store.open(home) as store:
        store.live.refresh()
    run_dir.ask_to_stop("asked from login1")
    said = "stopping after the current step: asked from login1"
    assert heading() == said
    shown = " ".join(vld("show", run_id).stdout.split())
    assert said in shown
    assert f"on {socket.gethostname()}" in shown
    assert vld.json("show", run_id)["stop_asked"] == "asked from login1"
    assert "job 7_0 · stopping" in vld("queue", "ls").stdout
    assert vld.json("queue", "ls")["on_cluster"][0]["stopping"] is True
    Teller(run_dir).says(stopped(4))
    assert said not in heading()
    assert said not in " ".join(vld("show", run_id).stdout.split())
    assert vld.json("show", run_id)["stop_asked"] is None
    assert "stopping" not in vld("queue", "ls").stdout
    source.close()


def test_the_warning_of_a_cluster_is_told_by_what_it_means(home: Home, submitted: Run) -> None:
    teller = Teller(home.run_dir(submitted.run_id))
    teller.starts()
    teller.says(RunStopped(step=4, reason="SIGUSR2", wall_s=1.0))
    shown = " ".join(Vld(home.path)("show", submitted.run_id).stdout.split())
    assert "SIGUSR2: the job timed out or was preempted" in shown
