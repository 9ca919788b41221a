"""Runs whose ends are sent by a process of its own, started by the command that started them."""

from __future__ import annotations

import json
from typing import Any

import psutil

from tests.vld_tui.cli.conftest import Vld
from tests.waiting import wait_until
from vld_tui.home import Home
from vld_tui.launch.notify.process import is_notifying

KEEP = "cat >> sent.jsonl; echo >> sent.jsonl"


def sent(home: Home) -> list[dict[str, Any]]:
    path = home.path / "sent.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_end_of_a_detached_run_is_sent_without_anyone_looking(vld: Vld) -> None:
    home = Home(vld.home)
    assert vld("config", "set", "notify.command", KEEP).exit_code == 0
    run = ("run", "--dataset", "emoji", "--model", "crash", "--steps", "100", "--detach")
    started = vld(*run)
    wait_until(lambda: is_notifying(home) or sent(home))
    wait_until(lambda: sent(home))
    (message,) = sent(home)
    assert message["event"] == "crashed", started.output
    for process in psutil.process_iter(["cmdline"]):
        if str(vld.home) in (process.info["cmdline"] or ()):
            process.wait(30)
    assert not is_notifying(home)
