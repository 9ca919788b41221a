"""What must hold after a night of kills, each told in words where it does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
from safetensors import safe_open

from engine.protocol import RunSpec, decode_event
from engine.rundir import RunDir
from tests.small_runs import run_here
from vld_tui.home import Home, open_home
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

Row = tuple[object, ...]

BOOKKEEPING: Final = {"key", "launched_at", "past_process", "events_offset"}
"""Columns of runs that say how history was read, not what happened."""
TABLES: Final = ("attempts", "checkpoints", "arms")


def database_is_whole(home: Home) -> Iterator[str]:
    """Complain of what SQLite finds wrong."""
    with closing(sqlite3.connect(home.database)) as connection:
        for check in ("integrity_check", "foreign_key_check"):
            said = [row for row in connection.execute(f"PRAGMA {check}") if row != ("ok",)]
            if said:
                yield f"PRAGMA {check}: {said}"


def events_are_whole(home: Home, run: Run) -> Iterator[str]:
    """Complain of events that are missing, doubled or damaged."""
    lines = home.run_dir(run.run_id).events.read_bytes().splitlines()
    numbers = [decode_event(line).seq for line in lines]
    if numbers != list(range(len(numbers))):
        yield f"{run.run_id}: events are numbered {numbers}"
    if run.damaged_lines:
        yield f"{run.run_id}: {run.damaged_lines} damaged lines"


def attempts_are_explained(store: Store, run: Run) -> Iterator[str]:
    """Complain of attempts of which nobody knows how they ended."""
    for attempt in store.series.timeline(run.run_id):
        if attempt.outcome is None or attempt.ended_at is None:
            yield f"{run.run_id}: nobody knows how attempt {attempt.attempt} ended"
        elif attempt.outcome != "finished" and not attempt.reason:
            yield f"{run.run_id}: attempt {attempt.attempt} {attempt.outcome} without a reason"


def nothing_torn_is_left(home: Home, run: Run) -> Iterator[str]:
    """Complain of files that somebody began to write and nobody ended."""
    folder = home.run_dir(run.run_id).path
    for path in (*folder.rglob(".*.tmp"), *folder.rglob(".tmp*")):
        yield f"{run.run_id}: {path.name} is left"


def equals_undisturbed(store: Store, run: Run, undisturbed: Home) -> Iterator[str]:
    """Complain where a run differs from the same run that nobody killed, to the last bit."""
    twin = _run_undisturbed(undisturbed, run.spec)
    with Store.open(undisturbed) as other:
        mine, theirs = _curves(store, run.run_id), _curves(other, twin.run_id)
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name) != theirs.get(name):
                yield f"{run.run_id}: {name} is not that of an undisturbed run"
        for steps, _ in mine.values():
            if any(before >= after for before, after in pairwise(steps)):
                yield f"{run.run_id}: a step is told twice"
        if store.series.arms([run.run_id]).get(run.run_id) != other.series.arms([twin.run_id]).get(
            twin.run_id
        ):
            yield f"{run.run_id}: its arms are not those of an undisturbed run"
    for path in sorted(twin.checkpoints.glob("*.safetensors")):
        ours = store.runs.run_dir(run.run_id).checkpoints / path.name
        if _tensors(ours) != _tensors(path):
            yield f"{run.run_id}: {path.name} is not that of an undisturbed run"


def rebuilt_history_is_the_same(home: Home, empty: Path) -> Iterator[str]:
    """Complain where history read anew from the run folders alone differs, row by row.

    ``empty``: a folder for the second history.
    """
    other = open_home(empty)
    for ours, theirs in ((home.runs, other.runs), (home.trash, other.trash)):
        theirs.rmdir()
        theirs.symlink_to(ours)
    with Store.open(other) as store:
        report = store.folders.rebuild()
    yield from (f"{folder.path}: {folder.reason}" for folder in report.damaged)
    kept, read = _history(home), _history(other)
    for table, rows in kept.items():
        missing, added = rows - read[table], read[table] - rows
        yield from (f"rebuilt {table} lacks {_told(row)}" for row in missing)
        yield from (f"rebuilt {table} has {_told(row)} besides" for row in added)


def _told(row: Row) -> str:
    return ", ".join(str(value)[:80] for value in row)


def _run_undisturbed(home: Home, spec: RunSpec) -> RunDir:
    with Store.open(home) as store:
        run_id = store.runs.create(spec).run_id
        run_here(home.run_dir(run_id))
        store.folders.rebuild()
    return home.run_dir(run_id)


def _curves(store: Store, run_id: str) -> dict[tuple[str, ...], tuple[list[int], bytes]]:
    return {
        each.key: (
            list(each.points.steps), each.points.values.tobytes(),
        )
        for each in store.series.all(run_id)
        if not each.key.is_system  # what the machine does is no result
    }  # fmt: skip


def _tensors(path: Path) -> dict[str, bytes]:
    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


def _history(home: Home) -> dict[str, set[Row]]:
    """Return all rows that tell what happened, under the ids of runs."""
    with closing(sqlite3.connect(home.database)) as connection:
        ids = dict(connection.execute("SELECT key, run_id FROM runs"))
        cursor = connection.execute("SELECT * FROM runs")
        names = [column[0] for column in cursor.description]
        told = [index for index, name in enumerate(names) if name not in BOOKKEEPING]
        history: dict[str, set[Row]] = {
            "runs": {tuple(row[index] for index in told) for row in cursor}
        }
        for table in TABLES:
            rows = connection.execute(f"SELECT * FROM {table}")
            history[table] = {(ids[row[0]], *row[1:]) for row in rows}
    with Store.open(home) as store:
        history["series"] = {
            (run_id, *name, msgspec.json.encode(steps), values)
            for run_id in ids.values()
            for name, (steps, values) in _curves(store, run_id).items()
        }
    return history


@dataclass
class Findings:
    """How much was looked at, and what does not hold."""

    runs: int = 0
    attempts: int = 0
    complaints: list[str] = field(default_factory=list)


def look_at_everything(home: Home, place: Path) -> Findings:
    """Check all that must hold; ``place`` is a folder for what is made to compare with."""
    found = Findings()
    place.mkdir(exist_ok=True)
    undisturbed = open_home(place / "undisturbed")
    with Store.open(home) as store:
        runs = store.runs.find()
        for run in runs:
            found.complaints += events_are_whole(home, run)
            found.complaints += attempts_are_explained(store, run)
            found.complaints += nothing_torn_is_left(home, run)
            if run.status == "finished":
                found.complaints += equals_undisturbed(store, run, undisturbed)
            found.attempts += len(store.series.timeline(run.run_id))
    found.runs = len(runs)
    found.complaints += database_is_whole(home)
    found.complaints += rebuilt_history_is_the_same(home, place / "rebuilt")
    return found
