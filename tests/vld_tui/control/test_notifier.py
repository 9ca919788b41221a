"""The notifier: what it sends, to whom, and when it does not."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.launch.webhook_service import serving
from tests.vld_tui.store.told_runs import Teller, collapsed, failed
from vld_tui.config import NotifyConfig
from vld_tui.control.notifier import Notifier, main, run_message
from vld_tui.control.records import run_records
from vld_tui.home import DATABASES_VARIABLE, Home, open_home
from vld_tui.launch.notify.message import Message
from vld_tui.launch.notify.process import call_notifier, has_work
from vld_tui.runs.run import Run
from vld_tui.store import ingest
from vld_tui.store.errors import DatabaseLocked, StoreError
from vld_tui.store.notifications import DueNotification
from vld_tui.store.store import Store

KEEP = "cat >> sent.jsonl; echo >> sent.jsonl"
STUDY = """\
name = "two"
title = "Two seeds"
data = ["emoji"]
seeds = 2
[fields]
target = "noto"
steps = 20
"""


def turn_on(store: Store, **changes: object) -> None:
    store.settings.set_in_section(NotifyConfig, {"command": KEEP, **changes})


def sent(home: Home) -> list[dict[str, Any]]:
    path = home.path / "sent.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def texts(home: Home) -> list[str]:
    return [each["text"] for each in sent(home)]


def tell(store: Store, run: Run) -> Teller:
    teller = Teller(store.runs.run_dir(run.run_id))
    teller.starts()
    return teller


def make(store: Store, name: str, **fields: object) -> Run:
    return store.runs.create(resolve_spec({"dataset": "emoji", "steps": 20, **fields}), name=name)


def test_a_message_describes_the_run(store: Store, home: Home) -> None:
    turn_on(store)
    run = make(store, "good")
    Teller(store.runs.run_dir(run.run_id)).finishes()
    tell(store, make(store, "bad")).says(failed("The loss is not finite.\nmore", step=7))
    tell(store, make(store, "dull")).says(collapsed(5))
    assert Notifier(store, {}).take_turn()
    assert Notifier(store, {}).take_turn()
    assert texts(home) == [
        "good finished: ID 80.0%, OOD 50.0%",
        "bad failed at step 7 of 20: The loss is not finite.",
        "dull collapsed at step 5: it predicts a single class",
    ]
    first = sent(home)[0]
    assert (first["event"], first["study"]) == ("finished", None)
    assert first["run"] == json.loads(
        msgspec.json.encode(run_records(store, [store.runs.get(run.run_id)])[0])
    )


def test_only_the_chosen_events_are_sent(store: Store, home: Home) -> None:
    turn_on(store, on=["failed"])
    Teller(store.runs.run_dir(make(store, "good").run_id)).finishes()
    tell(store, make(store, "bad")).says(failed("no"))
    Notifier(store, {}).take_turn()
    assert texts(home) == ["bad failed at step 0 of 20: no"]


def test_a_study_is_done_once(store: Store, home: Home) -> None:
    turn_on(store)
    home.studies.mkdir()
    (home.studies / "two.toml").write_text(STUDY)
    one, two = (make(store, f"s{seed}", target="noto", seed=seed) for seed in (0, 1))
    Teller(store.runs.run_dir(one.run_id)).finishes()
    Notifier(store, {}).take_turn()
    assert [each["event"] for each in sent(home)] == ["finished"]
    tell(store, two).says(failed("no"))
    Notifier(store, {}).take_turn()
    done = sent(home)[-1]
    assert done["text"] == "study two is done: 2 runs, 1 finished, 1 failed"
    assert done["study"]["runs"] == 2
    again = make(store, "again", target="noto", seed=0)
    Teller(store.runs.run_dir(again.run_id)).finishes()
    Notifier(store, {}).take_turn()
    assert [each["event"] for each in sent(home)] == ["finished", "failed", "study", "finished"]


def test_copies_of_runs_are_not_announced(store: Store, home: Home) -> None:
    turn_on(store)
    run = make(store, "elsewhere")
    teller = tell(store, run)
    store.live.refresh()
    assert has_work(store)
    teller.run_dir.mark_synced()
    assert not has_work(store)
    teller.says(failed("no"))
    Notifier(store, {}).take_turn()
    assert not store.notifications.are_due()
    assert sent(home) == []


def test_a_failure_is_reported_once(store: Store, home: Home) -> None:
    vld = Vld(home.path)
    turn_on(store, command="echo it broke; exit 3")
    run = make(store, "good")
    Teller(store.runs.run_dir(run.run_id)).finishes()
    Notifier(store, {}).take_turn()
    said = f"notification not sent (finished {run.run_id}): command: exit code 3: it broke."
    assert said in vld("ls").stderr
    assert "notification" not in vld("ls").stderr
    assert said in vld("show", run.run_id).stdout
    assert vld.json("show", run.run_id)["unsent_notifications"][0]["event"] == "finished"


def test_a_history_that_was_locked_before_sending_is_no_try(
    store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(store)
    Teller(store.runs.run_dir(make(store, "good").run_id)).finishes()
    store.live.refresh()

    def locked(*_: object) -> None:
        raise DatabaseLocked("locked")

    notifier = Notifier(store, {})
    with monkeypatch.context() as patched:
        patched.setattr("vld_tui.control.notifier.run_message", locked)
        for _ in range(3):
            with pytest.raises(DatabaseLocked):
                notifier.take_turn()
    notifier.take_turn()
    assert texts(home) == ["good finished: ID 80.0%, OOD 50.0%"]


def test_a_message_that_cannot_be_made_does_not_hold_up_the_others(
    store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_on(store, on=["failed", "finished"])
    tell(store, make(store, "bad")).says(failed("no"))
    store.live.refresh()
    Teller(store.runs.run_dir(make(store, "good").run_id)).finishes()
    make_message = run_message

    def broken(store: Store, due: DueNotification, run: Run) -> Message:
        if due.event == "failed":
            raise StoreError("damaged")
        return make_message(store, due, run)

    monkeypatch.setattr("vld_tui.control.notifier.run_message", broken)
    notifier = Notifier(store, {})
    for _ in range(2):
        with pytest.raises(StoreError, match="damaged"):
            notifier.take_turn()
    notifier.take_turn()
    assert texts(home) == ["good finished: ID 80.0%, OOD 50.0%"]


def test_without_the_variable_of_the_address_they_wait(store: Store, home: Home) -> None:
    turn_on(store, webhook="$HOOK")
    Teller(store.runs.run_dir(make(store, "good").run_id)).finishes()
    assert not Notifier(store, {}).take_turn()
    assert store.notifications.are_due()
    assert "HOOK (in notify.webhook) is not set" in str(call_notifier(store))


def test_nothing_is_kept_when_they_are_turned_off(store: Store, home: Home) -> None:
    turn_on(store)
    Teller(store.runs.run_dir(make(store, "good").run_id)).finishes()
    store.live.refresh()
    turn_on(store, command=None)
    assert not Notifier(store, {}).take_turn()
    assert not store.notifications.are_due()


def test_two_machines_that_share_a_home_send_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = open_home(tmp_path / "shared")
    monkeypatch.setenv(DATABASES_VARIABLE, str(tmp_path / "first"))
    with Store.open(home) as first:
        turn_on(first)
        teller = tell(first, make(first, "shared"))
        monkeypatch.setenv(DATABASES_VARIABLE, str(tmp_path / "second"))
        with Store.open(home) as second:
            turn_on(second)
            second.live.refresh()
            teller.says(failed("no"))
            Notifier(second, {}).take_turn()
        monkeypatch.setenv(DATABASES_VARIABLE, str(tmp_path / "first"))
        Notifier(first, {}).take_turn()
    assert texts(home) == ["shared failed at step 0 of 20: no"]


def test_two_machines_that_cannot_start_a_run_both_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LAUNCH_GRACE_S", 0.0)
    home = open_home(tmp_path / "shared")
    for name in ("first", "second"):
        monkeypatch.setenv(DATABASES_VARIABLE, str(tmp_path / name))
        with Store.open(home) as store:
            turn_on(store, on=["failed"])
            if name == "first":
                run = store.runs.create(resolve_spec({"steps": 20}), name="waits", is_queued=True)
            else:
                store.live.refresh()
                store.queue.add(run.run_id)
            store.queue.mark_unlaunched(run.run_id, f"no GPU in the {name}")
            Notifier(store, {}).take_turn()
    assert [text.split(": ")[1] for text in texts(home)] == [
        "no GPU in the first",
        "no GPU in the second",
    ]


def test_of_two_notifiers_one_sends(
    store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vld_tui.control.notifier.LINGER_S", 0.0)
    turn_on(store, command=f"sleep 0.2; {KEEP}")
    for name in "ab":
        Teller(store.runs.run_dir(make(store, name).run_id)).finishes()
    threads = [threading.Thread(target=main, args=(home,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts(home)) == [f"{name} finished: ID 80.0%, OOD 50.0%" for name in "ab"]


def test_a_service_that_is_away_is_tried_again_only_for_the_first(store: Store, home: Home) -> None:
    with serving() as service:
        turn_on(store, command=None, webhook=service.url)
        service.answers += [(503, {}, b"")] * 3
        for name in "abc":
            Teller(store.runs.run_dir(make(store, name).run_id)).finishes()
        Notifier(store, {}, pauses_s=(0.0,)).take_turn()
        assert len(service.taken) == 4
    unsent = store.notifications.take_failures()
    assert [each.problem for each in unsent] == [f"webhook: {service.url} answered HTTP 503"] * 2
