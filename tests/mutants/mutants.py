"""The list of plausible bugs in ``mutants.toml``, and their place in the source."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
LIST: Final = Path(__file__).with_name("mutants.toml")

_Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class StaleMutantError(ValueError):
    """A bug that can no longer be put where the list says; the message names it."""


@dataclass(frozen=True)
class Mutant:
    """One plausible bug.

    ``place`` is the dotted name of a function, class or module; ``before`` stands in it exactly
    once, and ``after`` takes its place. ``bug`` says what is then wrong.
    """

    place: str
    before: str
    after: str
    bug: str

    def path(self, root: Path) -> Path:
        """Return the file of the source below ``root``.

        Raises:
            StaleMutantError: when there is none.
        """
        return _find_module(root, self.place)[0]

    def apply(self, source: str, root: Path) -> str:
        """Return the source of its module with the bug in it.

        Raises:
            StaleMutantError: when the place or the text is missing, or is ambiguous.
        """
        names = _find_module(root, self.place)[1]
        start, stop = _span(source, names) or (0, 0)
        if (count := source.count(self.before, start, stop)) != 1:
            raise StaleMutantError(f"{self.place}: {self.before!r} occurs {count} times, not once")
        at = source.index(self.before, start, stop)
        return source[:at] + self.after + source[at + len(self.before) :]


@dataclass(frozen=True)
class Part:
    """A part of the program: the tests that must find bugs in it, as pytest takes them."""

    name: str
    tests: tuple[str, ...]
    mutants: tuple[Mutant, ...]


def read_parts() -> Iterator[Part]:
    """Yield the parts in the order of the list."""
    with LIST.open("rb") as file:
        listed = tomllib.load(file)
    for name, part in listed.items():
        mutants = (Mutant(*row) for row in part["bugs"])
        yield Part(name, tuple(part["tests"]), tuple(mutants))


def _find_module(root: Path, place: str) -> tuple[Path, list[str]]:
    """Return the file of the longest module that a dotted name begins with, and the rest of it."""
    names = place.split(".")
    for count in range(len(names), 0, -1):
        stem = root.joinpath(*names[:count])
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path, names[count:]
    raise StaleMutantError(f"{place}: no such module")


def _span(source: str, names: list[str]) -> tuple[int, int] | None:
    """Return where a function or class begins and ends in the source; None: it is missing."""
    if not names:
        return 0, len(source)
    node: ast.AST = ast.parse(source)
    for name in names:
        inner = (each for each in ast.iter_child_nodes(node) if isinstance(each, _Named))
        found = next((each for each in inner if each.name == name), None)
        if found is None:
            return None
        node = found
    assert isinstance(node, _Named)
    assert node.end_lineno is not None
    lines = source.splitlines(keepends=True)
    decorators = [each.lineno for each in node.decorator_list]
    first = min([node.lineno, *decorators]) - 1
    return len("".join(lines[:first])), len("".join(lines[: node.end_lineno]))
