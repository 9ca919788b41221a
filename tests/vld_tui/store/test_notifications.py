"""What is recorded to be notified of: each end of a run, once, while notifications are on."""

from __future__ import annotations

import threading

import msgspec
import pytest

from engine.protocol import resolve_spec
from engine.rundir import JobInfo
from tests.vld_tui.store.told_runs import (
    Teller,
    collapsed,
    dead_process,
    evaluation,
    failed,
    finished,
    started,
    stopped,
)
from vld_tui.config import NotifyConfig
from vld_tui.home import Home
from vld_tui.runs.run import Job, Run
from vld_tui.store import ingest
from vld_tui.store.notifications import DueNotification
from vld_tui.store.store import Store

END = finished(20, selected_step=20, id_accuracy=0.8, ood_accuracy=0.5)


@pytest.fixture
def told(store: Store) -> Store:
    """Return a history with notifications on."""
    store.settings.set_in_section(NotifyConfig, {"command": "true"})
    return store


def claimed(store: Store) -> list[DueNotification]:
    """Return what is to be sent, as if it were."""
    found = []
    while (due := store.notifications.claim()) is not None:
        store.notifications.settle(due, "sent")
        found.append(due)
    return found


def events(store: Store) -> list[str]:
    store.live.refresh()
    return [due.event for due in claimed(store)]


def test_an_end_is_recorded_once(told: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    assert events(told) == []
    teller.says(END)
    told.live.refresh()
    (due,) = claimed(told)
    assert (due.event, due.run_id) == ("finished", run.run_id)
    told.live.refresh()
    told.runs.get(run.run_id)
    assert not told.notifications.are_due()


def test_every_attempt_has_its_end(told: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(stopped(5))
    assert events(told) == ["stopped"]
    told.live.mark_relaunched(run.run_id)
    teller.starts(attempt=2, resumed_step=5)
    teller.says(stopped(5))
    assert events(told) == ["stopped"]
    told.live.mark_relaunched(run.run_id)
    teller.starts(attempt=3, resumed_step=5)
    teller.says(failed("The loss is not finite."))
    assert events(told) == ["failed"]


def test_a_death_is_recorded(told: Store, run: Run, teller: Teller) -> None:
    dead_process(teller.run_dir, exit_code=1)
    teller.says(started())
    assert events(told) == ["crashed"]


def test_a_run_that_never_starts_is_recorded_at_every_launch(
    told: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LAUNCH_GRACE_S", 0.0)
    assert events(told) == ["crashed"]
    told.live.mark_relaunched(run.run_id)
    assert events(told) == ["crashed"]


def test_a_queued_run_that_cannot_be_started(told: Store, run: Run) -> None:
    queued = told.runs.create(resolve_spec({"steps": 20}), name="waits", is_queued=True)
    told.queue.mark_unlaunched(queued.run_id, "no GPU")
    assert [due.run_id for due in claimed(told)] == [queued.run_id]
    told.queue.add(queued.run_id)
    told.queue.mark_unlaunched(queued.run_id, "no GPU")
    assert [due.run_id for due in claimed(told)] == [queued.run_id]


def test_a_job_that_ends_before_its_run(told: Store) -> None:
    run = told.runs.create(resolve_spec({"steps": 20}), name="given")
    for job in "78":
        told.jobs.mark_submitted({run.run_id: JobInfo(job, run.created_at, "job.log", {})})
        (known,) = told.jobs.open()
        told.jobs.note(known, Job(job, "NODE_FAIL"))
        assert [due.event for due in claimed(told)] == ["crashed"]


def test_a_collapse_is_recorded_once_per_attempt(told: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(collapsed(5))
    assert events(told) == ["collapsed"]
    teller.says(collapsed(6))
    assert events(told) == []
    teller.says(END)
    assert events(told) == ["finished"]


def test_a_collapse_that_is_over_when_it_is_seen(told: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    later = evaluation(10, id_accuracy=0.5, ood_accuracy=0.4)
    teller.says(collapsed(5), msgspec.structs.replace(later, collapsed=False))
    assert events(told) == []


def test_ends_of_before_are_not_recorded(store: Store, run: Run, teller: Teller) -> None:
    teller.finishes()
    store.live.refresh()
    store.settings.set_in_section(NotifyConfig, {"command": "true"})
    assert events(store) == []


def test_a_rebuild_records_nothing_but_ends_that_nobody_saw(
    told: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    told.live.refresh()
    teller.says(END)
    told.folders.rebuild()
    assert [due.event for due in claimed(told)] == ["finished"]
    told.folders.rebuild()
    told.folders.take_in([run.run_id])
    assert events(told) == []


def test_two_processes_do_not_get_the_same_one(told: Store, home: Home) -> None:
    for name in "abcdefgh":
        run = told.runs.create(resolve_spec({"steps": 20}), name=name, is_queued=True)
        told.queue.mark_unlaunched(run.run_id, "no GPU")
    found: list[DueNotification] = []

    def take() -> None:
        with Store.open(home) as store:
            found.extend(claimed(store))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len({due.number for due in found}) == 8


def test_a_sender_that_died_is_replaced_once(
    told: Store, home: Home, run: Run, teller: Teller
) -> None:
    teller.finishes()
    told.live.refresh()
    with Store.open(home) as other:
        first = other.notifications.claim()
        assert first is not None
        other.notifications.count_try(first)
    assert told.notifications.claim() is None
    told.notifications.release()
    assert told.notifications.claim() == first
    told.notifications.count_try(first)
    assert told.notifications.claim() is None
    (failure,) = told.notifications.take_failures()
    assert failure.problem == "sending it was interrupted twice"
    assert told.notifications.take_failures() == []


def test_what_is_due_is_dropped_when_nobody_is_notified(
    told: Store, run: Run, teller: Teller
) -> None:
    teller.finishes()
    told.live.refresh()
    told.notifications.drop_all()
    assert claimed(told) == []
