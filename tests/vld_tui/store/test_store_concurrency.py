"""Several programs on one history at once: real processes, one real database."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.store.told_runs import Teller, evaluation, started, steps_taken
from tests.warm_processes import WARM_CODE
from vld_tui.dashboard.preferences import Preferences
from vld_tui.home import Home
from vld_tui.launch.slurm.settings import read_profile
from vld_tui.runs.run import Run
from vld_tui.store import database
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.planner import read_form_presets

_REFRESHING = """
import sys
from pathlib import Path
from vld_tui.home import Home
from vld_tui.store.store import Store
with Store.open(Home(Path(sys.argv[1]))) as store:
    print("ready", flush=True)
    while store.runs.get("@last").step < 400:
        store.live.refresh()
"""

_CREATING = """
import sys
from pathlib import Path
from engine.protocol import resolve_spec
from vld_tui.home import Home
from vld_tui.store.store import Store
with Store.open(Home(Path(sys.argv[1]))) as store:
    for seed in range(10):
        run = store.runs.create(resolve_spec({"seed": seed}))
        store.labels.change_tags(run.run_id, lambda _: [f"seed-{seed}"])
"""


_CHANGING = """
import sys
from pathlib import Path
from vld_tui.dashboard.actions import Actions
from vld_tui.home import Home
from vld_tui.launch.slurm.settings import change_profile
from vld_tui.store.store import Store
from vld_tui.study.planner import keep_form_preset
home, (run_id, number, key, queued) = Home(Path(sys.argv[1])), sys.argv[2:]
with Store.open(home) as store:
    store.labels.change_tags(run_id, lambda tags: [*tags, f"p{number}"])
    store.labels.set_note(run_id, f"note {number}")
    keep_form_preset(store, f"preset {number}", {"seed": number})
    store.queue.move(queued, 1 if int(number) % 2 else -1)
    store.labels.rename(run_id, f"name-{number}")
change_profile(home, "gpu", {key: number})
Actions(home).change_preferences({"theme": "nord"} if int(number) % 2 else {"refresh_s": 7.0})
"""


def _start(code: str, home: Home, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"{WARM_CODE}\n{code}", str(home.path), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _succeeds(process: subprocess.Popen[str]) -> None:
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint


def test_programs_that_read_the_same_events_at_once_take_each_in_once(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    teller.starts()
    readers = [_start(_REFRESHING, home) for _ in range(3)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for step in range(1, 401):
        teller.says(steps_taken(step, 1 / step))
        if step % 100 == 0:
            teller.says(evaluation(step, id_accuracy=step / 1000, ood_accuracy=0.1))
    for reader in readers:
        _succeeds(reader)
    store.live.refresh()
    losses = store.series.metrics(run.run_id, name="loss", split="train")
    assert [(point.step, point.value) for point in losses] == [
        (step, 1 / step) for step in range(1, 401)
    ]
    seen = store.runs.get(run.run_id)
    assert (seen.damaged_lines, seen.selected_step, seen.attempts) == (0, 400, 1)


def test_programs_that_write_at_once_lose_nothing(store: Store, home: Home) -> None:
    writers = [_start(_CREATING, home) for _ in range(3)]
    rebuilt = []
    while any(writer.poll() is None for writer in writers):
        rebuilt.append(store.folders.rebuild().damaged)
    for writer in writers:
        _succeeds(writer)
    assert set(rebuilt) == {()}
    runs = store.runs.find()
    assert len(runs) == 30
    assert all(run.tags == (f"seed-{run.seed}",) for run in runs)
    assert all(store.runs.run_dir(run.run_id).read_user().tags == run.tags for run in runs)


def test_twenty_programs_that_change_the_same_things_lose_nothing(
    store: Store, run: Run, home: Home
) -> None:
    queued = [store.runs.create(resolve_spec({}), is_queued=True).run_id for _ in range(4)]
    keys = ("partition", "account", "qos", "mem")
    writers = [
        _start(_CHANGING, home, run.run_id, str(n), keys[n % 4], queued[n % 4]) for n in range(20)
    ]
    for writer in writers:
        _succeeds(writer)
    seen = store.runs.get(run.run_id)
    assert set(seen.tags) == {*run.tags, *(f"p{n}" for n in range(20))}
    assert seen.note.startswith("note ")
    assert seen.name.startswith("name-")
    user = store.runs.run_dir(run.run_id).read_user()
    assert (user.tags, user.note, user.name) == (seen.tags, seen.note, seen.name)
    assert set(read_form_presets(store)) == {f"preset {n}" for n in range(20)}
    assert store.settings.get("dashboard", Preferences, Preferences()).theme == "nord"
    assert store.settings.get("dashboard", Preferences, Preferences()).refresh_s == 7
    assert set(read_profile(home, "gpu")) == set(keys)
    places = [each.queue_position for each in store.queue.runs()]
    assert sorted(each.run_id for each in store.queue.runs()) == sorted(queued)
    assert len(set(places)) == 4


def test_a_database_held_by_another_program_is_said_to_be_locked(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(home).close()
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    with (
        Store.open(home) as store,
        closing(sqlite3.connect(home.database, isolation_level=None)) as other,
    ):
        run = store.runs.create(resolve_spec({}))
        Teller(home.run_dir(run.run_id)).says(started())
        other.execute("BEGIN IMMEDIATE")
        assert store.runs.find() == [run]
        with pytest.raises(StoreError, match="locked by another program. Try again"):
            store.live.refresh()
        with pytest.raises(StoreError, match="locked"):
            store.runs.create(resolve_spec({}))
        assert len(list(home.runs.iterdir())) == 1
        other.execute("COMMIT")
        home.run_dir(run.run_id).write_process(1)
        store.live.refresh()
        assert store.runs.get(run.run_id).attempts == 1
