"""Complete the last word of a filter: fields, and the values that runs have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vld_tui.store.fields import ALIASES, QUERY_FIELDS, known_name
from vld_tui.store.lookup import glance_at_values

PLAIN: Final = re.compile(r"[^\s'\"\\$`!&|;<>(){}*?#~]+")
"""A word that needs no quoting, neither in a filter nor in a shell."""
_LAST_TERM: Final = re.compile(
    r"(?P<head>(?:.*[\s(|])?[-!]?)(?P<field>\w[\w-]*)?(?:(?P<op>!?[=:])(?P<value>\S*))?"
)
_LAST_WORD: Final = re.compile(r"(?:^|(?<=[\s(|]))[-!]?([^\W\d][\w-]*)$")
_EARLIER_VALUES: Final = re.compile(r"(?:.*[,|])?")


def filter_proposals(database: Path, text: str) -> Iterator[tuple[str, str]]:
    """Yield continuations of a filter, each with a description of what it adds.

    Those that do not begin with ``text`` are for callers to leave out.
    """
    term = _LAST_TERM.fullmatch(text)
    if term is None:
        return
    head, name, operator = term["head"], term["field"], term["op"]
    if operator is None:
        for field in QUERY_FIELDS.values():
            yield f"{head}{field.name}{'' if field.kind == 'flag' else '='}", field.about
        return
    known = QUERY_FIELDS.get(known_name(name or ""))
    if known is None or known.kind not in ("choice", "text", "words"):
        return
    before = _EARLIER_VALUES.match(term["value"])
    earlier = before[0] if before is not None else ""
    found = known.choices or glance_at_values(database, known.name)
    values = found
    if known.kind == "words":
        values = tuple(dict.fromkeys(word for words in found for word in words.split()))
    for value in values:
        quoted = value if PLAIN.fullmatch(value) else f'"{value}"'
        yield f"{head}{name}{operator}{earlier}{quoted}", known.name


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
