"""Changes of runs that can be undone: name, note, tags and the move to the trash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vld_tui.runs.run import Run
from vld_tui.store.errors import StoreError
from vld_tui.store.labels import TagChange, edited_tags
from vld_tui.store.store import Store


@dataclass(frozen=True)
class Trashed:
    """Runs that were moved to the trash together, and why others were not."""

    runs: tuple[Run, ...]
    refusals: tuple[str, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of the moved runs."""
        return tuple(run.run_id for run in self.runs)


class Relabelled(NamedTuple):
    """A run before and after its name, note or tags were changed."""

    before: Run
    after: Run


@dataclass(frozen=True)
class Labelled:
    """Runs whose name, note or tags were changed together; unchanged ones are left out."""

    changes: tuple[Relabelled, ...]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of the changed runs."""
        return tuple(change.after.run_id for change in self.changes)


Edit = Trashed | Labelled


@dataclass(frozen=True)
class Undone:
    """An undone edit, and why parts of it could not be undone."""

    edit: Edit
    refusals: tuple[str, ...] = ()


@dataclass
class EditHistory:
    """The edits of a session, the last one first to be undone."""

    edits: list[Edit] = field(default_factory=list)

    def add(self, edit: Edit) -> None:
        """Remember an edit, if it changed anything."""
        if edit.run_ids:
            self.edits.append(edit)

    def undo(self, store: Store) -> Undone | None:
        """Undo the last edit; None: there is none.

        Raises:
            StoreError: when nothing of it could be undone. It is then no longer in the list.
        """
        if not self.edits:
            return None
        edit = self.edits.pop()
        refusals = undo(store, edit)
        if len(refusals) == len(edit.run_ids):
            raise StoreError(refusals[0])
        return Undone(edit, tuple(refusals))

    def drop(self, run_ids: Sequence[str]) -> None:
        """Forget the trashing of runs that were restored or deleted in another way."""
        left = (
            Trashed(tuple(run for run in edit.runs if run.run_id not in run_ids))
            if isinstance(edit, Trashed)
            else edit
            for edit in self.edits
        )
        self.edits[:] = [edit for edit in left if edit.run_ids]


def rename(store: Store, run_id: str, name: str) -> Labelled:
    """Rename a run.

    Raises:
        StoreError: for an unusable name, or an unknown run.
    """
    before = store.runs.get(run_id)
    store.labels.rename(before.run_id, name.strip())
    return _labelled(store, [before])


def set_note(store: Store, run_id: str, note: str) -> Labelled:
    """Replace a run's note; an empty one removes it.

    Raises:
        StoreError: when it is not text, or for an unknown run.
    """
    before = store.runs.get(run_id)
    store.labels.set_note(before.run_id, note if note.strip() else "")
    return _labelled(store, [before])


def change_tags(store: Store, run_ids: Sequence[str], change: TagChange) -> Labelled:
    """Change the tags of runs.

    Raises:
        StoreError: for an unusable tag, or an unknown run.
    """
    before = [store.runs.get(run_id) for run_id in run_ids]
    for run in before:
        store.labels.change_tags(run.run_id, change)
    return _labelled(store, before)


def trash(store: Store, run_ids: Sequence[str]) -> Trashed:
    """Move runs to the trash; those that cannot be moved stay.

    Raises:
        StoreError: when none can be moved.
    """
    moved: list[Run] = []
    refusals: list[str] = []
    for run_id in run_ids:
        try:
            run = store.runs.get(run_id)
            store.trash.move(run.run_id)
        except StoreError as error:
            refusals.append(str(error))
        else:
            moved.append(run)
    if refusals and not moved:
        raise StoreError(refusals[0])
    return Trashed(tuple(moved), tuple(refusals))


def undo(store: Store, edit: Edit) -> list[str]:
    """Undo an edit; return why runs could not be changed back. Later changes by others are kept."""
    refusals = []
    for at, run_id in enumerate(edit.run_ids):
        try:
            if isinstance(edit, Trashed):
                store.trash.restore(run_id)
            else:
                _relabel(store, edit.changes[at])
        except StoreError as error:
            refusals.append(str(error))
    return refusals


def _relabel(store: Store, change: Relabelled) -> None:
    """Give a run its earlier labels.

    Raises:
        StoreError: when its name or note was changed since.
    """
    before, after = change
    now = store.runs.get(after.run_id)
    for what in ("name", "note"):
        if getattr(before, what) != getattr(after, what) != getattr(now, what):
            raise StoreError(f"Not undone: the {what} of {now.label} has been changed since.")
    if before.tags != after.tags:
        store.labels.change_tags(now.run_id, edited_tags(after.tags, before.tags))
    if before.name != after.name:
        store.labels.rename(now.run_id, before.name)
    if before.note != after.note:
        store.labels.set_note(now.run_id, before.note)


def _labelled(store: Store, before: Sequence[Run]) -> Labelled:
    changes = (Relabelled(run, store.runs.get(run.run_id)) for run in before)
    return Labelled(
        tuple(
            change
            for change in changes
            if (change.before.name, change.before.note, change.before.tags)
            != (change.after.name, change.after.note, change.after.tags)
        )
    )
