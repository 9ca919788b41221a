"""Matching of the classes of labelled images with those of a trained network, by name."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import InputError
from engine.protocol import nearest
from engine.text import listed, quoted

MOST_SHOWN: Final = 40
"""Maximum number of class names in a list of an error message."""


@dataclass(frozen=True)
class ClassesOfData:
    """Names to match.

    Attributes:
        run: id of the run.
        known: the run's classes, in the order of the logits.
        data: name of the images.
        classes: theirs.
        domains: their domains, which are classes if the layout was misread.
    """

    run: str
    known: Sequence[str]
    data: str
    classes: Sequence[str]
    domains: Collection[str] = ()


def match_classes(names: ClassesOfData, class_map: Mapping[str, str]) -> dict[str, int | None]:
    """Return the index of the run's class for each class of the data; None: left out.

    Names are equal if they are the same text, whatever the encoding of accents.

    Args:
        names: to match.
        class_map: names in the run by names in the data, where they differ; an empty name leaves
            the class out.

    Raises:
        InputError: if a class has no counterpart, or the map names a class that does not exist;
            lists the classes of both.
    """
    mapped = {_plain(old): _plain(new) for old, new in class_map.items()}
    _check_map(names, mapped)
    index_of = {_plain(name): at for at, name in enumerate(names.known)}
    wanted = {name: mapped.get(_plain(name), _plain(name)) for name in names.classes}
    unknown = [name for name, new in wanted.items() if new and new not in index_of]
    if unknown:
        raise InputError(_unmatched(names, unknown))
    found = {name: index_of[new] if new else None for name, new in wanted.items()}
    if all(index is None for index in found.values()):
        raise InputError(f"--map leaves out every class of {names.data}. Keep at least one.")
    return found


def _check_map(names: ClassesOfData, mapped: Mapping[str, str]) -> None:
    """Raise InputError if the map names a class that does not exist."""
    for of, known, unknown in (
        (names.data, names.classes, set(mapped) - {*map(_plain, names.classes)}),
        (f"run {names.run}", names.known, set(mapped.values()) - {"", *map(_plain, names.known)}),
    ):
        for name in sorted(unknown):
            raise InputError(
                f"--map names {quoted(name)}, which is no class of {of}.{nearest(name, known)}\n"
                f"  classes of {of}: {_names(known)}"
            )


def _unmatched(names: ClassesOfData, unknown: Sequence[str]) -> str:
    """Return an error message for classes without a counterpart in the run."""
    which = f"{len(unknown):,} class{'' if len(unknown) == 1 else 'es'}"
    lines = [
        f"{names.data} has {which} unknown to run {names.run}: {_names(unknown)}.",
        f"  classes of {names.data}: {_names(names.classes)}",
        f"  classes of run {names.run}: {_names(names.known)}",
    ]
    if not set(map(_plain, names.domains)).isdisjoint(map(_plain, names.known)):
        tops = listed(map(quoted, sorted(names.domains)), 4)
        lines.append(
            f"The folders {tops} were read as domains. If they are classes: --layout class"
        )
        return "\n".join(lines)
    likely = {name: near for name in unknown if (near := _likely(name, names.known))}
    options = " ".join(
        f"--map {shlex.quote(f'{name}={near}')}" for name, near in list(likely.items())[:10]
    )
    lines.append(
        "Map each to a class of the run with --map OLD=NEW, or leave its images out with "
        f"--map OLD=.{f' Did you mean: {options}' if options else ''}"
    )
    return "\n".join(lines)


def _likely(name: str, known: Iterable[str]) -> str | None:
    """Return the class that a name most likely means: the same but for case and separators, or
    else the most similar one."""
    known = list(known)
    same = [each for each in known if _simple(each) == _simple(name)]
    if same:
        return same[0]
    hint = nearest(name, known)
    return next((each for each in known if hint == f" Did you mean {each}?"), None)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _simple(name: str) -> str:
    letters = _plain(name).casefold()
    return "".join(each for each in letters if each.isalnum()) or letters


def _names(names: Sequence[str]) -> str:
    return listed(map(quoted, names), MOST_SHOWN)
