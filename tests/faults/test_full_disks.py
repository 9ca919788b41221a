"""A disk that fills up or turns read-only under a run: it says so, and goes on when mended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.protocol import (
    AnyEvent,
    CheckpointSaved,
    Evaluated,
    RunFailed,
    StepsTaken,
    resolve_spec,
)
from engine.rundir import RunDir
from engine.train.checkpoint import load_last
from tests.faults.disks import break_disk, breakable_disk, fill_up, mend_disk, small_disk
from tests.small_runs import LONGER_RUN, read_events, start_engine
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.store.told_runs import Teller, started
from vld_tui.dashboard.feed import HistorySource, Interest
from vld_tui.home import Home, open_home
from vld_tui.launch.local import launch, wait_and_record
from vld_tui.store.store import Store

DEADLINE_S = 120.0
NAMES_THE_DISK = r"The disk {} \(160\.0 MiB, \d+\.\d MiB free\) has no space left\."


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 160) as place:
        yield place


@pytest.fixture
def home(disk: Path) -> Home:
    return open_home(disk / "home")


def make_run(home: Home, images: Path, name: str, **fields: object) -> RunDir:
    spec = resolve_spec({"data_dir": str(images), **LONGER_RUN, **fields})
    with Store.open(home) as store:
        return store.runs.run_dir(store.runs.create(spec, name=name).run_id)


def accuracies(run_dir: RunDir) -> dict[int, tuple[float, float | None]]:
    told = [event for event in read_events(run_dir) if isinstance(event, Evaluated)]
    return {event.step: (event.id_accuracy, event.ood_accuracy) for event in told}


def losses(run_dir: RunDir) -> dict[int, float | None]:
    told = [event for event in read_events(run_dir) if isinstance(event, StepsTaken)]
    return {event.step: event.loss for event in told}


def run_until(
    run_dir: RunDir, reached: Callable[[list[AnyEvent]], bool], then: Callable[[], object]
) -> int:
    """Start the engine, do something as soon as its events say so, and return its exit code."""
    process = launch(run_dir)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        if reached(read_events(run_dir)):
            then()
            break
        time.sleep(0.002)
    return wait_and_record(process, run_dir)


def is_saved(events: list[AnyEvent]) -> bool:
    return any(isinstance(event, CheckpointSaved) and event.kind == "last" for event in events)


@pytest.mark.slow
def test_a_run_whose_disk_fills_up_goes_on_when_there_is_room(
    home: Home, small_emoji: Path, tmp_path: Path
) -> None:
    undisturbed = make_run(open_home(tmp_path / "elsewhere"), small_emoji, "same", steps=48)
    assert start_engine(undisturbed).wait(DEADLINE_S) == 0
    run_dir = make_run(home, small_emoji, "same", steps=48)
    assert run_until(run_dir, is_saved, lambda: fill_up(home.path)) == 1
    failed = read_events(run_dir)[-1]
    assert isinstance(failed, RunFailed)
    assert failed.error == "OSError"
    vld = Vld(home.path)
    (home.path / "filler").unlink()
    with Store.open(home) as store:
        store.live.refresh()
        seen = store.runs.get("same")
    assert seen.status == "failed"
    assert seen.error is not None
    assert re.search(NAMES_THE_DISK.format(home.path.parent), seen.error)
    assert "vld resume" in seen.error
    assert load_last(run_dir.last_checkpoint) is not None
    assert not list(run_dir.path.rglob("*.tmp"))
    resumed = vld("resume", "same")
    assert resumed.exit_code == 0, resumed.stderr
    assert accuracies(run_dir) == accuracies(undisturbed)
    assert losses(run_dir) == losses(undisturbed)


def test_a_disk_too_small_for_the_images_is_named(tmp_path: Path, small_emoji: Path) -> None:
    with small_disk(tmp_path / "disk", 32) as place:
        run_dir = make_run(open_home(place / "home"), small_emoji, "small")
        assert start_engine(run_dir).wait(DEADLINE_S) == 2
        failed = read_events(run_dir)[-1]
    assert isinstance(failed, RunFailed)
    assert "Not enough space for the image cache" in failed.message
    assert "MiB free" in failed.message


def test_history_on_a_full_disk_is_shown_with_the_reason_why_it_is_old(home: Home) -> None:
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}), name="alone")
        teller = Teller(store.runs.run_dir(run.run_id))
        teller.starts()
    teller.says(*(started(attempt) for attempt in range(2, 300)))
    fill_up(home.path)
    vld = Vld(home.path)
    listed = vld("ls")
    assert (listed.exit_code, "alone" in listed.stdout) == (0, True), listed.stderr
    refused = vld("note", "alone", "not here")
    assert refused.exit_code == 2
    assert "Traceback" not in refused.stderr
    source = HistorySource(home)
    snapshot = source.take(Interest())
    source.close()
    assert snapshot.count == 1, snapshot.problem
    (home.path / "filler").unlink()
    assert vld("note", "alone", "here").exit_code == 0


@pytest.mark.slow
def test_a_disk_that_turns_read_only_ends_the_run_and_it_goes_on_when_mended(
    tmp_path: Path, small_emoji: Path
) -> None:
    image = tmp_path / "image"
    with breakable_disk(tmp_path / "disk", image, 400) as place:
        home = open_home(place / "home")
        run_dir = make_run(home, small_emoji, "same")
        assert run_until(run_dir, is_saved, lambda: break_disk(place)) == 1
        assert load_last(run_dir.last_checkpoint) is not None
        assert not isinstance(read_events(run_dir)[-1], RunFailed)
        listed = Vld(home.path)("ls")
        assert (listed.exit_code, "same" in listed.stdout) == (0, True), listed.stderr
        mend_disk(place, image)
        vld = Vld(home.path)
        (seen,) = vld.json("ls")
        assert seen["status"] == "crashed"
        assert "disk failure" in seen["error"]
        resumed = vld("resume", "same")
        assert resumed.exit_code == 0, resumed.stderr
        assert vld.json("ls")[0]["status"] == "finished"
