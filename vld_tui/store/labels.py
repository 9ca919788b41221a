"""Check names, tags and notes, and generate ids and names."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Final

from engine.protocol import NO_TARGET, Combination, CombinationSpec, RunTask, spec_of
from vld_tui.store.errors import StoreError

NAME_LENGTH: Final = 100
TAG_LENGTH: Final = 64
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"


def check_name(name: str) -> str:
    """Return the name.

    Raises:
        StoreError: when it is ambiguous, empty or too long.
    """
    _check_text("The name", name)
    if not name.strip() or len(name) > NAME_LENGTH:
        raise StoreError(
            f"The name has {len(name)} characters, but must have 1 to {NAME_LENGTH} and not be "
            "blank."
        )
    if "/" in name or name[0] in "@-":
        raise StoreError(f"The name {name!r} must not contain '/' or start with '@' or '-'.")
    return name


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the tags, each once.

    Raises:
        StoreError: for a tag that is empty, too long, has spaces or commas, or starts with ``+``
            or ``-``.
    """
    for tag in tags:
        _check_text("A tag", tag)
        if not tag or len(tag) > TAG_LENGTH or any(character.isspace() for character in tag):
            raise StoreError(
                f"The tag {tag[:TAG_LENGTH]!r} must be one word of 1 to {TAG_LENGTH} characters."
            )
        if tag[0] in "+-":
            raise StoreError(f"The tag {tag!r} must not start with '+' or '-'.")
        if "," in tag:
            raise StoreError(f"The tag {tag!r} must not contain a comma: pass tags separately.")
    return tuple(dict.fromkeys(tags))


def check_note(note: str) -> str:
    """Return the note.

    Raises:
        StoreError: when it is not text.
    """
    _check_text("The note", note)
    return note


def new_run_id(now: float) -> str:
    """Return an id that sorts by local time: ``yymmdd-HHMMSS-xxxx``."""
    stamp = time.strftime("%y%m%d-%H%M%S", time.localtime(now))
    return f"{stamp}-{''.join(secrets.choice(_BASE32) for _ in range(4))}"


def default_name(task: RunTask) -> str:
    """Return a generated name, such as ``fluent-mono-d0.9-m8-s0`` or ``fluent-mono-soup-of-3``."""
    spec = spec_of(task)
    target = None if spec.target == NO_TARGET else spec.target
    place = "".join(
        character if character.isalnum() or character in "._-" else "-"
        for character in target or spec.dataset
    ).lstrip("-")
    if isinstance(task, CombinationSpec):
        return f"{place[:60] or 'run'}-{_combined_name(task.combination)}"
    masks = f"-m{spec.masks}" if spec.dropout_rate else ""
    return f"{place[:60] or 'run'}-d{spec.dropout_rate:g}{masks}-s{spec.seed}"


def _combined_name(combination: Combination) -> str:
    match combination.starts_at:
        case "start_of_run":
            return "wise-ft"
        case "linear_probe":
            return "interpolation-from-probe"
        case None:
            return f"{combination.method.replace('_', '-')}-of-{len(combination.parents)}"


def _check_text(what: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise StoreError(f"{what} is not valid text: {value!r}.") from None
