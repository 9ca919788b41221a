"""Runs imported from other trackers, to compare with.

Their settings are not those of this program, so they are no runs of the history: each is a file of
its own in the home, outside the database. They are never resumed, and no study counts them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.protocol import UserError
from engine.rundir import read_plain, write_atomic

PREFIX: Final = "imported-"
"""Start of the id of an imported run."""


class ImportedError(UserError):
    """An imported run that cannot be found or read."""


class Curve(msgspec.Struct, frozen=True):
    """Values in order of steps; None: not finite."""

    steps: list[int]
    values: list[float | None]

    def at(self, step: int) -> float | None:
        """Return the value at a step; None: none, or not finite."""
        return dict(zip(self.steps, self.values, strict=True)).get(step)


class ImportedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run read from the files of another tracker.

    ``source`` is the folder that it was read from. ``status`` is ``finished`` or ``failed``, or
    empty if unknown. ``id_curve`` and ``ood_curve`` name the curves that are shown as ID and OOD
    accuracy; their values are divided by ``scale``.
    """

    run_id: str
    name: str
    tracker: str
    source: str
    imported_at: float
    status: str = ""
    group: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    settings: dict[str, str | int | float | bool | None] = {}
    curves: dict[str, Curve] = {}
    id_curve: str | None = None
    ood_curve: str | None = None
    scale: float = 1.0

    @property
    def step(self) -> int:
        """Return the last step of any curve."""
        return max((curve.steps[-1] for curve in self.curves.values() if curve.steps), default=0)

    @property
    def selected_step(self) -> int | None:
        """Return the step with the highest ID accuracy, the earliest of equals."""
        curve = self.curves.get(self.id_curve or "")
        if curve is None:
            return None
        known = zip(curve.steps, curve.values, strict=True)
        finite = [(value, -step) for step, value in known if value is not None]
        return -max(finite)[1] if finite else None

    @property
    def id_accuracy(self) -> float | None:
        """Return the ID accuracy at the selected step, from 0 to 1."""
        return self._selected(self.id_curve)

    @property
    def ood_accuracy(self) -> float | None:
        """Return the OOD accuracy at the selected step, from 0 to 1."""
        return self._selected(self.ood_curve)

    @property
    def finals(self) -> dict[str, float | None]:
        """Return the last value of each curve."""
        return {name: curve.values[-1] for name, curve in self.curves.items() if curve.values}

    def _selected(self, name: str | None) -> float | None:
        step, curve = self.selected_step, self.curves.get(name or "")
        value = None if step is None or curve is None else curve.at(step)
        return None if value is None else value / self.scale


def save_imported(folder: Path, runs: Sequence[ImportedRun]) -> None:
    """Write runs, replacing those that were imported before.

    Raises:
        OSError: when they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        write_atomic(folder / f"{run.run_id}.json", msgspec.json.encode(run))


def load_imported(folder: Path) -> list[ImportedRun]:
    """Return all imported runs, by name.

    Raises:
        ImportedError: when a file cannot be read.
    """
    runs = []
    for path in folder.glob(f"{PREFIX}*.json"):
        try:
            runs.append(msgspec.json.decode(read_plain(path), type=ImportedRun))
        except FileNotFoundError:  # deleted in the meantime
            continue
        except (OSError, msgspec.DecodeError) as error:
            raise ImportedError(
                f"Cannot read {path}: {error}.\nDelete it, and import the run again: vld pull"
            ) from None
    return sorted(runs, key=lambda run: (run.name, run.run_id))


def find_imported(folder: Path, reference: str) -> ImportedRun | None:
    """Return the imported run with this id, name, or start of an id; None: there is none.

    Raises:
        ImportedError: when several match, or a file cannot be read.
    """
    known = load_imported(folder)
    for found in (
        [run for run in known if run.run_id == reference],
        [run for run in known if run.name == reference],
        [run for run in known if reference > PREFIX and run.run_id.startswith(reference)],
    ):
        if len(found) > 1:
            ids = ", ".join(run.run_id for run in found)
            raise ImportedError(f"{reference!r} matches several imported runs: {ids}.")
        if found:
            return found[0]
    return None


def delete_imported(folder: Path, run: ImportedRun) -> None:
    """Delete an imported run; the files that it was read from are not touched."""
    with contextlib.suppress(FileNotFoundError):
        (folder / f"{run.run_id}.json").unlink()
