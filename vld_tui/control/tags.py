"""Changes to a run's tags, as they are typed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from engine.protocol import UserError
from vld_tui.store.labels import TagChange


def tag_change(words: Sequence[str]) -> TagChange:
    """Return the change that ``words`` make to tags: all plain words replace them, ``+a`` adds one
    and ``-b`` removes one.

    Raises:
        UserError: when plain and signed words are mixed.
    """
    signed = [word.startswith(("+", "-")) for word in words]
    if any(signed) and not all(signed):
        raise UserError("Pass either tags to set (a b) or changes (+a -b), not both.")
    if lone := [word for word in words if word in ("+", "-", "")]:
        raise UserError(f"{lone[0]!r} is not a tag.")
    return partial(_changed, words, is_signed=any(signed))


def edited_tags(before: Sequence[str], after: Sequence[str]) -> TagChange:
    """Return the change from ``before`` to ``after``; tags that others added meanwhile are kept."""

    def change(now: tuple[str, ...]) -> list[str]:
        mine = [tag for tag in after if tag in now or tag not in before]
        return [*mine, *(tag for tag in now if tag not in before)]

    return change


def _changed(words: Sequence[str], tags: tuple[str, ...], *, is_signed: bool) -> tuple[str, ...]:
    if not is_signed:
        return tuple(dict.fromkeys(words))
    changed = dict.fromkeys(tags)
    for word in words:
        if word[0] == "+":
            changed[word[1:]] = None
        else:
            changed.pop(word[1:], None)
    return tuple(changed)
