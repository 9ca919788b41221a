"""Changes of runs that can be undone: name, note, tags and the move to the trash."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from vld_tui.control.each_run import Handled, Refusal, act_on_each
from vld_tui.control.trash import restore
from vld_tui.runs.run import GONE, Run
from vld_tui.store.errors import RunNotFound, RunNotTrashed, StoreError, folder_gone
from vld_tui.store.labels import TagChange, edited_tags
from vld_tui.store.store import Store


class EditOutdated(StoreError):  # noqa: N818 - reads as the fact it states
    """An edit can no longer be undone, however often it is tried."""


_FINAL: Final = (EditOutdated, RunNotFound, RunNotTrashed)
"""Why an edit cannot be undone later either."""


@dataclass(frozen=True)
class Trashed(Handled):
    """Runs that were moved to the trash together, and why others were not."""

    def part(self, run_ids: Collection[str]) -> Trashed:
        """Return the part of the edit with these runs."""
        return Trashed(tuple(run for run in self.runs if run.run_id in run_ids))


class Relabelled(NamedTuple):
    """A run before and after its name, note or tags were changed."""

    before: Run
    after: Run


@dataclass(frozen=True)
class Labelled:
    """Runs whose name, note or tags were changed together, and why others were not; unchanged ones
    are left out."""

    changes: tuple[Relabelled, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the ids of the changed runs."""
        return tuple(change.after.run_id for change in self.changes)

    def part(self, run_ids: Collection[str]) -> Labelled:
        """Return the part of the edit with these runs."""
        return Labelled(tuple(change for change in self.changes if change.after.run_id in run_ids))


Edit = Trashed | Labelled


@dataclass(frozen=True)
class Undone:
    """The undone part of an edit, and why other runs could not be changed back."""

    edit: Edit
    refusals: tuple[Refusal, ...] = ()


@dataclass
class EditHistory:
    """The edits of a session, the last one first to be undone."""

    edits: list[Edit] = field(default_factory=list)

    def add(self, edit: Edit) -> None:
        """Remember an edit, if it changed anything."""
        if edit.run_ids:
            self.edits.append(edit)

    def undo(self, store: Store) -> Undone | None:
        """Undo the last edit; None: there is none. Runs that could not be changed back stay in the
        list, unless they never can.

        Raises:
            StoreError: when nothing of it could be undone.
        """
        if not self.edits:
            return None
        edit = self.edits[-1]
        undone = undo(store, edit)
        left = [each.run_id for each in undone.refusals if not isinstance(each.error, _FINAL)]
        self.edits[-1:] = [edit.part(left)] if left else []
        if not undone.edit.run_ids:
            raise undone.refusals[0].error
        return undone

    def drop(self, run_ids: Collection[str]) -> None:
        """Forget the trashing of runs that were restored or deleted in another way."""
        left = (
            edit.part([each for each in edit.run_ids if each not in run_ids])
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
    return _labelled(store, before)


def set_note(store: Store, run_id: str, note: str) -> Labelled:
    """Replace a run's note; an empty one removes it.

    Raises:
        StoreError: when it is not text, or for an unknown run.
    """
    before = store.runs.get(run_id)
    store.labels.set_note(before.run_id, note if note.strip() else "")
    return _labelled(store, before)


def change_tags(store: Store, run_ids: Sequence[str], change: TagChange) -> Labelled:
    """Change the tags of runs; those that cannot be changed keep theirs."""
    after: dict[str, tuple[str, ...]] = {}

    def act(run: Run) -> None:
        after[run.run_id] = store.labels.change_tags(run.run_id, change)

    done = act_on_each(store, run_ids, act)
    return Labelled(
        tuple(
            Relabelled(run, msgspec.structs.replace(run, tags=after[run.run_id]))
            for run in done.runs
            if run.tags != after[run.run_id]
        ),
        done.refusals,
    )


def trash(store: Store, run_ids: Sequence[str]) -> Trashed:
    """Move runs to the trash; those that cannot be moved stay."""
    done = act_on_each(store, run_ids, lambda run: store.trash.move(run.run_id))
    return Trashed(done.runs, done.refusals)


def undo(store: Store, edit: Edit) -> Undone:
    """Undo an edit, as far as possible. Later changes by others are kept."""
    if isinstance(edit, Trashed):
        done = restore(store, edit.run_ids)
    else:
        changes = {change.after.run_id: change for change in edit.changes}
        done = act_on_each(
            store, edit.run_ids, lambda run: _relabel(store, run, changes[run.run_id])
        )
    return Undone(edit.part(done.run_ids), done.refusals)


def _relabel(store: Store, now: Run, change: Relabelled) -> None:
    """Give a run its earlier labels.

    Raises:
        EditOutdated: when its name or note was changed since, or its folder is gone.
    """
    before, after = change
    if now.status == GONE:
        raise EditOutdated(f"Not undone. {folder_gone(now.run_id)}")
    for what in ("name", "note"):
        if getattr(before, what) != getattr(after, what) != getattr(now, what):
            raise EditOutdated(f"Not undone: the {what} of {now.label} has been changed since.")
    if before.tags != after.tags:
        store.labels.change_tags(now.run_id, edited_tags(after.tags, before.tags))
    if before.name != after.name:
        store.labels.rename(now.run_id, before.name)
    if before.note != after.note:
        store.labels.set_note(now.run_id, before.note)


def _labelled(store: Store, before: Run) -> Labelled:
    change = Relabelled(before, store.runs.get(before.run_id))
    is_changed = any(
        getattr(change.before, what) != getattr(change.after, what) for what in ("name", "note")
    )
    return Labelled((change,) if is_changed else ())
