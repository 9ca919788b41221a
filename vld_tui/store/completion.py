"""Complete the last word of a filter: fields, and the values that runs have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from vld_tui.store.fields import ALIASES, QUERY_FIELDS, known_name
from vld_tui.store.lookup import glance_at_values

PLAIN: Final = re.compile(r"[^\s'\"\\$`!&|;<>(){}*?#~]+")
"""A word that needs no quoting, neither in a filter nor in a shell."""
_BEGUN_FIELD: Final = re.compile(r"(?P<head>(?:.*[\s(|])?[-!]?)(?:\w[\w-]*)?")
_BEGUN_VALUE: Final = re.compile(
    r"(?P<head>(?:.*[\s(|])?[-!]?(?P<field>\w[\w-]*)!?[=:](?:\S*[,|])?)[^\s,|]*"
)
_LAST_WORD: Final = re.compile(r"(?:^|(?<=[\s(|]))[-!]?([^\W\d][\w-]*)$")


def filter_proposals(database: Path, text: str) -> Iterator[tuple[str, str]]:
    """Yield continuations of a filter, each with a description of what it adds.

    Those that do not begin with ``text`` are for callers to leave out.
    """
    if value := _BEGUN_VALUE.fullmatch(text):
        for each in _values(database, known_name(value["field"])):
            quoted = each if PLAIN.fullmatch(each) else f'"{each}"'
            yield f"{value['head']}{quoted}", known_name(value["field"])
    if begun := _BEGUN_FIELD.fullmatch(text):
        for field in QUERY_FIELDS.values():
            yield f"{begun['head']}{field.name}{'' if field.kind == 'flag' else '='}", field.about


def _values(database: Path, name: str) -> Iterable[str]:
    """Return the values of a field: its choices, or those that runs have."""
    field = QUERY_FIELDS.get(name)
    if field is None or field.kind not in ("choice", "text", "words"):
        return ()
    found = field.choices or glance_at_values(database, name)
    if field.kind == "words":
        return dict.fromkeys(word for words in found for word in words.split())
    return found


def finished_part(text: str) -> str:
    """Return a filter that is being typed without the field that may have been begun at its end."""
    word = _LAST_WORD.search(text)
    if word is None:
        return text
    begun = known_name(word[1])
    is_field = any(name.startswith(begun) for name in (*QUERY_FIELDS, *ALIASES))
    return text[: word.start()].rstrip() if is_field else text


def completions(database: Path, text: str) -> list[str]:
    """Return the continuations of a filter that begin with it, ignoring case."""
    wanted = text.casefold()
    found = (each for each, _ in filter_proposals(database, text))
    return list(dict.fromkeys(each for each in found if each.casefold().startswith(wanted)))
