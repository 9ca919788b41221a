"""The name and the tags of new runs in the form."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from engine.protocol import RunSpec, UserError
from vld_tui.dashboard.widgets.form import FieldLine, FormField
from vld_tui.runs.run import Run
from vld_tui.store.labels import (
    check_name,
    check_tags,
    default_name,
    is_generated,
    name_of_copy,
    names_of,
)

NAME_NOTE: Final = "Name of the run; with several seeds, the start of each name."
TAGS_NOTE: Final = "Tags, separated by spaces or commas."


class LabelLines:
    """The lines of name and tags. An empty name, or the generated one, is generated."""

    def __init__(self, like: Run | None) -> None:
        chosen = None
        if like is not None and not is_generated(like.name, like.task):
            chosen = name_of_copy(like.name)
        self._name = FieldLine(FormField("name", "name", NAME_NOTE), "", chosen)
        self._tags = FieldLine(FormField("tags", "tags", TAGS_NOTE), "", None)
        self._specs: Sequence[RunSpec] = ()

    def __iter__(self) -> Iterator[FieldLine]:
        """Yield the lines in the order of the form."""
        yield from (self._name, self._tags)

    @property
    def name(self) -> str | None:
        """Return the typed name; None: generated."""
        return self._name.typed

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the typed tags."""
        return tuple(dict.fromkeys((self._tags.typed or "").replace(",", " ").split()))

    @property
    def problem(self) -> str | None:
        """Return the first problem of name and tags."""
        return self._problem_of_name or self._problem_of_tags

    @property
    def _problem_of_name(self) -> str | None:
        try:
            for name in names_of(self._specs, self.name):
                check_name(name)
        except UserError as error:
            return str(error)
        return None

    @property
    def _problem_of_tags(self) -> str | None:
        try:
            check_tags(self.tags)
        except UserError as error:
            return str(error)
        return None

    def show(self, specs: Sequence[RunSpec]) -> None:
        """Show the names that runs get, and problems."""
        self._specs = specs
        if specs:
            self._name.set_usual(default_name(specs[0]) if len(specs) == 1 else "")
        names = names_of(specs, self.name)
        note = f"{names[0]} … {names[-1]}" if len(names) > 1 else ""
        self._name.say(note, self._problem_of_name)
        self._tags.say("", self._problem_of_tags)

    def commands(self, lines: Sequence[str]) -> list[str]:
        """Return the command lines of runs with the options for name and tags."""
        names: Sequence[str | None] = [None] * len(lines)
        if self.name is not None and self._specs:
            names = names_of(self._specs, self.name)
        return [
            shlex.join([*shlex.split(line), *_options(name, self.tags)])
            for line, name in zip(lines, names, strict=True)
        ]


def _options(name: str | None, tags: Sequence[str]) -> list[str]:
    words = [] if name is None else ["--name", name]
    return words + [word for tag in tags for word in ("--tag", tag)]
