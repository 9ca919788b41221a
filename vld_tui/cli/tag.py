"""``vld tag``: set, add or remove a run's tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from vld_tui.cli.command import Command, RunArgument
from vld_tui.cli.errors import CommandError
from vld_tui.cli.output import say
from vld_tui.cli.session import open_store

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SETTINGS = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""``-b`` is a tag to remove, not an option: ``-h`` would be help."""

TagsArgument = Annotated[
    list[str], typer.Argument(metavar="TAG...", help="a b replaces; +a adds, -b removes.")
]


@app.command(cls=Command, context_settings=_SETTINGS)
def tag(ctx: typer.Context, run: RunArgument, tags: TagsArgument) -> None:
    """Change a run's tags and print them."""
    with open_store(ctx) as store:
        known = store.get(run)
        changed = change_tags(known.tags, tags)
        store.set_tags(known.run_id, changed)
    say(f"{known.run_id}  tags: {' '.join(changed) or 'none'}")


def change_tags(tags: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """Return the tags after ``words``: all plain words replace them, ``+a``/``-b`` change them.

    Raises:
        CommandError: when plain and signed words are mixed.
    """
    signed = [word.startswith(("+", "-")) for word in words]
    if any(signed) and not all(signed):
        raise CommandError("Give either tags to set (a b) or changes (+a -b), not both.")
    if not any(signed):
        return tuple(dict.fromkeys(words))
    changed = dict.fromkeys(tags)
    for word in words:
        if word[0] == "+":
            changed[word[1:]] = None
        else:
            changed.pop(word[1:], None)
    return tuple(changed)
