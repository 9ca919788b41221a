"""Import runs from the files of other trackers, to compare with."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from engine.protocol import nearest
from vld_tui.home import Home, absolute_path
from vld_tui.runs.imported import PREFIX, Curve, ImportedRun, find_imported, save_imported
from vld_tui.runs.run import Run
from vld_tui.store.errors import RunNotFound
from vld_tui.store.store import Store
from vld_tui.trackers import read_runs
from vld_tui.trackers.tracker import FoundRun, TrackerError

ID_CURVE: Final = "id/accuracy"
OOD_CURVE: Final = "ood/accuracy"
"""The curves of ID and OOD accuracy in runs that this program pushed."""
_PERCENT: Final = 100.0
_MOST_NAMED: Final = 20


class Reading(NamedTuple):
    """Which curves are ID and OOD accuracy; None: as this program names them, if they exist."""

    id_curve: str | None = None
    ood_curve: str | None = None
    is_percent: bool = False


def pull(home: Home, tracker: str, folder: Path, reading: Reading) -> list[ImportedRun]:
    """Import all runs with curves in a tracker's files; runs imported before are replaced.

    Raises:
        TrackerError: when there are none, a file cannot be read, no run has a named curve, or its
            values are no accuracies.
        OSError: when the home cannot be written.
    """
    folder = absolute_path(folder)
    found = [run for run in read_runs(tracker, folder) if run.curves]
    if not found:
        raise TrackerError(f"No run of {tracker} with curves in {folder}.")
    for option, name in (("--id", reading.id_curve), ("--ood", reading.ood_curve)):
        if name is not None:
            _check(found, option, name, is_percent=reading.is_percent)
    runs = [_imported(run, tracker, folder, reading) for run in found]
    save_imported(home.imported, runs)
    return runs


def find_run(store: Store, reference: str) -> Run | ImportedRun:
    """Return the run, or else the imported run, with this id or name.

    Raises:
        RunNotFound: when there is neither.
        AmbiguousRun, ImportedError: when several match.
    """
    try:
        return store.runs.get(reference)
    except RunNotFound:
        imported = find_imported(store.home.imported, reference)
        if imported is None:
            raise
        return imported


def _check(runs: Sequence[FoundRun], option: str, name: str, *, is_percent: bool) -> None:
    curves = [run.curves[name] for run in runs if name in run.curves]
    if not curves:
        known = sorted({each for run in runs for each in run.curves})
        more = ", …" if len(known) > _MOST_NAMED else ""
        raise TrackerError(
            f"{option}: no run has a curve {name!r}.{nearest(name, known)}\n"
            f"Curves: {', '.join(known[:_MOST_NAMED])}{more}."
        )
    most = _PERCENT if is_percent else 1.0
    values = (value for curve in curves for value in curve.values() if math.isfinite(value))
    wrong = next((value for value in values if not 0 <= value <= most), None)
    if wrong is not None:
        hint = "" if is_percent else " Pass --percent if it is in percent."
        raise TrackerError(
            f"{option}: {name} has the value {wrong:g}; an accuracy is from 0 to {most:g}.{hint}"
        )


def _imported(run: FoundRun, tracker: str, folder: Path, reading: Reading) -> ImportedRun:
    digest = hashlib.sha256(f"{tracker}\0{run.key}".encode()).hexdigest()
    return ImportedRun(
        run_id=f"{PREFIX}{digest[:8]}",
        name=run.name,
        tracker=tracker,
        source=str(folder),
        imported_at=time.time(),
        status=run.status,
        group=run.group,
        tags=run.tags,
        note=run.note,
        settings=dict(run.settings),
        curves={name: _curve(run.curves[name]) for name in sorted(run.curves)},
        id_curve=_chosen(run, reading.id_curve, ID_CURVE),
        ood_curve=_chosen(run, reading.ood_curve, OOD_CURVE),
        scale=_PERCENT if reading.is_percent else 1.0,
    )


def _chosen(run: FoundRun, given: str | None, usual: str) -> str | None:
    name = given or usual
    return name if name in run.curves else None


def _curve(values: Mapping[int, float]) -> Curve:
    steps = sorted(values)
    finite = (values[step] for step in steps)
    return Curve(steps, [value if math.isfinite(value) else None for value in finite])
