"""The trash: list its runs with the disk space they take, restore them, delete them permanently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vld_tui.control.each_run import Handled, act_on_each
from vld_tui.runs.run import Run
from vld_tui.runs.run_folder import folder_bytes
from vld_tui.store.errors import RunNotTrashed
from vld_tui.store.store import Store


class TrashedRun(NamedTuple):
    """A run in the trash; ``bytes``: the size of its folder, None: not measured."""

    run: Run
    bytes: int | None = None


def trashed_runs(store: Store) -> list[TrashedRun]:
    """Return the runs in the trash, the last trashed one first, not measured.

    Raises:
        StoreError: when the history cannot be read.
    """
    runs = store.runs.find(trashed=True)
    runs.sort(key=lambda run: run.trashed_at or 0.0, reverse=True)
    return [TrashedRun(run) for run in runs]


def measured(store: Store, trashed: TrashedRun) -> TrashedRun:
    """Return a run in the trash with the size of its folder."""
    folder = store.home.trashed_run_dir(trashed.run.run_id).path
    return TrashedRun(trashed.run, folder_bytes(folder))


def find_trashed(store: Store, references: Sequence[str]) -> list[TrashedRun]:
    """Return the runs in the trash that are meant, measured.

    Raises:
        RunNotFound, AmbiguousRun: see :meth:`vld_tui.store.runs.Runs.get`.
        StoreError: when one is not in the trash.
    """
    found = [store.runs.get(reference, in_trash=True) for reference in references]
    for run in found:
        if run.trashed_at is None:
            raise RunNotTrashed(run.run_id)
    return [measured(store, TrashedRun(run)) for run in found]


def restore(store: Store, run_ids: Sequence[str]) -> Handled:
    """Take runs out of the trash; those that cannot be restored stay."""
    return act_on_each(store, run_ids, lambda run: store.trash.restore(run.run_id), in_trash=True)


def delete(store: Store, run_ids: Sequence[str]) -> Handled:
    """Permanently delete runs of the trash; those that cannot be deleted stay."""
    return act_on_each(store, run_ids, lambda run: store.trash.delete(run.run_id), in_trash=True)


def total_bytes(trashed: Sequence[TrashedRun]) -> int | None:
    """Return the disk space of runs; None: not all are measured."""
    sizes = [each.bytes for each in trashed if each.bytes is not None]
    return sum(sizes) if len(sizes) == len(trashed) else None
