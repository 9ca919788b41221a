"""Runs whose ends are sent by a process of its own, started by the command that started them."""

from __future__ import annotations

import json
from typing import Any

import psutil
import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.queue_stand_in import start_stand_in
from tests.vld_tui.launch.webhook_service import serving
from tests.waiting import wait_until
from vld_tui.home import Home, open_home
from vld_tui.launch.notify.process import is_notifying
from vld_tui.launch.queue import Supervisor
from vld_tui.store.store import Store

KEEP = "cat >> sent.jsonl; echo >> sent.jsonl"


def sent(home: Home) -> list[dict[str, Any]]:
    path = home.path / "sent.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def await_end(home: Home) -> None:
    """Wait until the notifier of a home has ended."""
    for process in psutil.process_iter(["cmdline"]):
        if str(home.path) in (process.info["cmdline"] or ()):
            process.wait(30)
    assert not is_notifying(home)


def test_the_end_of_a_detached_run_is_sent_without_anyone_looking(vld: Vld) -> None:
    home = Home(vld.home)
    assert vld("config", "set", "notify.command", KEEP).exit_code == 0
    started = vld("run", "--dataset", "emoji", "--model", "crash", "--steps", "100", "--detach")
    wait_until(lambda: sent(home))
    (message,) = sent(home)
    assert message["event"] == "crashed", started.output
    await_end(home)


def test_the_ends_of_queued_runs_are_posted(vld: Vld, monkeypatch: pytest.MonkeyPatch) -> None:
    home = open_home(vld.home)
    with serving() as service, Store.open(home) as store:
        monkeypatch.setenv("VLD_TEST_HOOK", f"{service.url}/secret")
        for name, value in (("webhook", "$VLD_TEST_HOOK"), ("format", "discord")):
            assert vld("config", "set", f"notify.{name}", value).exit_code == 0
        for model in ("finish", "fail"):
            spec = resolve_spec({"dataset": "emoji", "model": model, "steps": 100})
            store.runs.create(spec, name=model, is_queued=True)
        Supervisor(store, start_stand_in).work()
        wait_until(lambda: len(service.taken) == 2)
        texts = sorted(json.loads(body)["content"] for _, _, body in service.taken)
        assert texts == [
            "fail failed at step 50 of 100: The loss is not finite.",
            "finish finished: ID 73.3%, OOD 53.3%",
        ]
        await_end(home)
    assert "secret" not in home.notifier_log.read_text()
    assert b"/secret" not in home.database.read_bytes()
