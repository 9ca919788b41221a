"""Changes of names, notes, tags and trash as text."""

from __future__ import annotations

from collections.abc import Iterator

from vld_tui.control.each_run import Handled, Refusal
from vld_tui.control.edits import Edit, Labelled, Relabelled, Trashed, Undone
from vld_tui.runs.run import Run
from vld_tui.words.numbers import plural

NOTHING_TO_UNDO = "Nothing to undo."


def edit_text(edit: Edit) -> str:
    """Return what an edit changed, such as ``tag extra on X``."""
    if isinstance(edit, Trashed):
        return f"trash of {_of(edit.runs)}"
    changes = edit.changes
    whats = dict.fromkeys(map(_change_text, changes))
    if len(changes) == 1 and changes[0].before.name != changes[0].after.name:
        return next(iter(whats))
    what = next(iter(whats)) if len(whats) == 1 else "tags"
    return f"{what} on {_of([change.after for change in changes])}"


def undone_text(undone: Undone | None) -> str:
    """Return what was undone."""
    if undone is None:
        return NOTHING_TO_UNDO
    text = f"undo: {edit_text(undone.edit)}"
    return "\n".join([text, *_failures(undone.refusals)])


def trashed_text(done: Trashed) -> str:
    """Return which runs were moved to the trash, and why others were not."""
    text = f"Moved {_of(done.runs)} to the trash (z to undo)."
    return "\n".join([text, *_failures(done.refusals)])


def labelled_text(done: Labelled) -> str:
    """Return which labels were changed, and why those of other runs were not."""
    text = f"saved: {edit_text(done)}" if done.run_ids else "nothing changed"
    return "\n".join([text, *_failures(done.refusals)])


def restored_text(done: Handled) -> str:
    """Return how many runs were restored, and why others were not."""
    return "\n".join([f"{plural(len(done.runs), 'run')} restored", *_failures(done.refusals)])


def deleted_text(done: Handled) -> str:
    """Return how many runs were permanently deleted, and why others were not."""
    text = f"{plural(len(done.runs), 'run')} permanently deleted"
    return "\n".join([text, *_failures(done.refusals)])


def _failures(refusals: tuple[Refusal, ...]) -> Iterator[str]:
    if refusals:
        yield f"{plural(len(refusals), 'run')} not: {refusals[0].error}"


def _change_text(change: Relabelled) -> str:
    before, after = change
    if before.name != after.name:
        return f"rename of {before.name} to {after.name}"
    if before.note != after.note:
        return "note" if after.note else "removed note"
    added = [tag for tag in after.tags if tag not in before.tags]
    removed = [tag for tag in before.tags if tag not in after.tags]
    parts = [("tag" if len(added) == 1 else "tags", added), ("removed", removed)]
    return ", ".join(f"{what} {' '.join(tags)}" for what, tags in parts if tags) or "order of tags"


def _of(runs: tuple[Run, ...] | list[Run]) -> str:
    return runs[0].label if len(runs) == 1 else plural(len(runs), "run")
