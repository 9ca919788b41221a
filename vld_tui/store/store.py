"""The history of a home."""

from __future__ import annotations

from collections.abc import Sequence

from engine.protocol import RunSpec, RunTask
from vld_tui.runs.metrics import Attempt, CheckpointInfo, MetricPoint, MetricSeries
from vld_tui.runs.run import Run
from vld_tui.store import create, prune, trash
from vld_tui.store.errors import AmbiguousRun, RunNotFound, StoreError
from vld_tui.store.labels import check_name, check_note, check_tags
from vld_tui.store.measured import MeasuredRuns
from vld_tui.store.rebuild import DamagedFolder, RebuildReport
from vld_tui.store.user_data import TagChange, add_tag, change_tags, set_label
from vld_tui.store.waiting import WaitingRuns

__all__ = [
    "AmbiguousRun",
    "Attempt",
    "CheckpointInfo",
    "DamagedFolder",
    "MetricPoint",
    "MetricSeries",
    "RebuildReport",
    "RunNotFound",
    "Store",
    "StoreError",
]


class Store(MeasuredRuns, WaitingRuns):
    """An open history. It belongs to the thread that opened it; many may be open at once.

    Runs are created, labelled and deleted here; the base classes open and update the history, list
    runs, read their results, and manage the queue.

    Every method raises :class:`StoreError` when the database is locked, damaged or cannot be
    written; methods that take a run's id raise :class:`RunNotFound` for an unknown one.
    """

    def create_run(
        self,
        task: RunTask,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        is_queued: bool = False,
    ) -> Run:
        """Create a new run: its folder and its row. It has no process yet.

        Raises:
            StoreError: for an unusable name or tag, or a folder that cannot be made.
        """
        run_id = create.create_run(self._database, self.home, task, name, tags, is_queued=is_queued)
        return self.get(run_id)

    def queue_runs(self, specs: Sequence[RunSpec], *, tags: Sequence[str] = ()) -> None:
        """Create many queued runs in this order.

        Raises:
            StoreError: for an unusable tag, or a folder that cannot be created; runs created
                before are kept.
        """
        create.create_runs(self._database, self.home, specs, tags, is_queued=True)

    def create_runs(self, specs: Sequence[RunSpec], *, tags: Sequence[str] = ()) -> list[str]:
        """Create many new runs without a process, and return their ids.

        Raises:
            StoreError: see :meth:`queue_runs`.
        """
        return create.create_runs(self._database, self.home, specs, tags, is_queued=False)

    def prunable(self, run_id: str, keep: prune.Keep) -> prune.Prunable:
        """Return what pruning a run would delete, and what is still needed."""
        return prune.prunable(self._database, self.run_dir(run_id), keep)

    def prune(self, run_id: str, keep: prune.Keep) -> prune.Prunable:
        """Delete checkpoints of a finished run, except those that queued or running combinations
        need, which are returned.

        Raises:
            StoreError: when it is not finished, or a file cannot be deleted.
        """
        return prune.prune(self._database, self.home, run_id, keep)

    def set_name(self, run_id: str, name: str) -> None:
        """Rename a run.

        Raises:
            StoreError: for an unusable name.
        """
        set_label(self._database, self.home, run_id, "name", check_name(name))

    def set_tags(self, run_id: str, tags: Sequence[str]) -> None:
        """Replace a run's tags.

        Raises:
            StoreError: for an unusable tag.
        """
        set_label(self._database, self.home, run_id, "tags", " ".join(check_tags(tags)))

    def change_tags(self, run_id: str, change: TagChange) -> tuple[str, ...]:
        """Change a run's tags and return them, keeping concurrent changes.

        Raises:
            StoreError: for an unusable tag.
        """
        return change_tags(self._database, self.home, run_id, change)

    def add_tag(self, run_ids: Sequence[str], tag: str) -> None:
        """Add a tag to runs that are not in the trash.

        Raises:
            StoreError: for an unusable tag, or when it cannot be written.
        """
        (tag,) = check_tags([tag])
        add_tag(self._database, self.home, run_ids, tag)

    def set_note(self, run_id: str, note: str) -> None:
        """Replace a run's note.

        Raises:
            StoreError: when it is not text.
        """
        set_label(self._database, self.home, run_id, "note", check_note(note))

    def trash(self, run_id: str) -> None:
        """Move a run that has ended to the trash.

        Raises:
            StoreError: when it is running, already in the trash, or cannot be moved.
        """
        self.get(run_id)  # it may have just ended
        trash.move_to_trash(self._database, self.home, run_id)

    def restore(self, run_id: str) -> None:
        """Restore a run from the trash.

        Raises:
            StoreError: when it is not in the trash or cannot be moved.
        """
        trash.take_from_trash(self._database, self.home, run_id)

    def empty_trash(self) -> int:
        """Permanently delete the trash, and return the number of runs.

        Raises:
            StoreError: when a folder cannot be deleted.
        """
        return trash.empty_trash(self._database, self.home)

    def discard(self, run_id: str) -> None:
        """Permanently delete a rejected run: its row and its folder.

        Raises:
            StoreError: when its process lives or its folder cannot be deleted.
        """
        trash.discard(self._database, self.home, run_id)
