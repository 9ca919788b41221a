"""The syntax of a filter: ``dropout>=0.9 and not (status:failed | name~^try)`` as a tree.

:mod:`vld_tui.store.query` translates the leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from vld_tui.store.errors import QueryError
from vld_tui.store.fields import is_field
from vld_tui.store.lookup import is_text

_FIELD: Final = r"images/s|[^\W\d][\w−-]*"
_COMPARISON: Final = re.compile(
    rf"(?P<field>{_FIELD})\s*(?P<operator>!=|==|<=|>=|=~|!~|[=:<>~≤≥≠])(?P<space>\s*)"
)
_QUOTED: Final = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_BARE: Final = re.compile(r"[^\s\"()|]*")
_SLASHED: Final = re.compile(r"/((?:[^/\\]|\\.|/(?![\s)|]|$))+)/(?=[\s)|]|$)", re.DOTALL)
"""A regular expression between slashes; a slash inside it that could end it is written ``\\/``."""
_KEYWORD: Final = re.compile(r"(?P<word>and|or|not)(?=[\s()]|$)", re.IGNORECASE)
_SIGN: Final = re.compile(r"(?P<and>&&?(?=[\s()]|$))|(?P<or>\|\|?)|(?P<not>!(?![=~])|-(?=\S))")
_SAME: Final = {"==": "=", "=~": "~", "≤": "<=", "≥": ">=", "≠": "!="}
_LISTED: Final = {"=": "or", ":": "or", "!=": "and"}
"""Operators that take several values, ``target=a|b``, and how these are joined."""
_OPERATOR_INSIDE: Final = re.compile(r"[=<>~≤≥≠]")
_MOST_TERMS: Final = 50
_DEEPEST: Final = 20
_LONGEST: Final = 1000


@dataclass(frozen=True)
class Term:
    """A comparison of a field with a value, or text to search for, without a field.

    The operator of text is ``~`` for a regular expression, otherwise empty. ``text`` is the
    original text. A quoted value has no wildcards, ranges or lists.
    """

    text: str
    value: str
    field: str | None = None
    operator: str = ""
    is_quoted: bool = False


@dataclass(frozen=True)
class Not:
    """A negated part."""

    part: Tree


@dataclass(frozen=True)
class Joined:
    """Parts joined by ``and``, or by ``or``."""

    parts: tuple[Tree, ...]
    is_any: bool = False


Tree = Term | Not | Joined
Token = Term | str
"""A term, a parenthesis, ``and``, ``or`` or ``not``."""


def parse_terms(text: str) -> Joined:
    """Return the parts of a filter that must all be true; none for an empty filter.

    Raises:
        QueryError: naming the invalid part.
    """
    check_text(text)
    tokens = tuple(_tokens(text))
    terms = sum(isinstance(token, Term) for token in tokens)
    if terms > _MOST_TERMS:
        raise QueryError(f"The query has {terms} terms; the maximum is {_MOST_TERMS}.")
    return _Parser(tokens).parse()


def check_text(text: str) -> None:
    """Check that a query is text and not too long.

    Raises:
        QueryError: with the reason.
    """
    if len(text) > _LONGEST:
        raise QueryError(f"The query has {len(text)} characters; the maximum is {_LONGEST}.")
    if not is_text(text):
        raise QueryError(f"The query is not valid text: {text!r}.")


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
        elif text[position] in "()":
            yield text[position]
            position += 1
        elif sign := _SIGN.match(text, position):
            yield str(sign.lastgroup)
            position = sign.end()
        elif keyword := _KEYWORD.match(text, position):
            yield keyword["word"].lower()
            position = keyword.end()
        else:
            term, position = _read_term(text, position)
            yield from (term,) if isinstance(term, Term) else term


def _read_term(text: str, start: int) -> tuple[Term | list[Token], int]:
    """Return the comparison or the text at ``start``, and its end; comparisons with several
    values in parentheses."""
    head = _COMPARISON.match(text, start)
    if head is None:
        return _read_text(text, start)
    operator = _SAME.get(head["operator"], head["operator"])
    if head["space"] and _starts_another(text, head.end()):
        end = head.end() - len(head["space"])
        return Term(text[start:end], "", head["field"], operator), end
    if operator in "~!~:" and (pattern := _SLASHED.match(text, head.end())):
        operator, end = "~" if operator == ":" else operator, pattern.end()
        return Term(text[start:end], pattern[1], head["field"], operator), end
    value, end, is_quoted = _read_value(text, head.end(), is_pattern=operator.endswith("~"))
    first = Term(text[start:end], value, head["field"], operator, is_quoted)
    others: list[Token] = []
    while operator in _LISTED and value and _lists_another(text, end):
        begin = end + 1
        value, end, is_quoted = _read_value(text, begin)
        term = Term(text[begin:end], value, head["field"], operator, is_quoted)
        others += [_LISTED[operator], term]
    return (["(", first, *others, ")"] if others else first), end


def _lists_another(text: str, position: int) -> bool:
    """Return whether another value of the same field follows, as in ``target=a|b``."""
    follows = text[position + 1 : position + 2]
    return (
        text[position : position + 1] == "|"
        and bool(follows)
        and not follows.isspace()
        and follows not in "|()!-/"
        and _COMPARISON.match(text, position + 1) is None
    )


def _read_text(text: str, start: int) -> tuple[Term, int]:
    """Return text to search for, and its end."""
    if pattern := _SLASHED.match(text, start):
        return Term(pattern[0], pattern[1], operator="~"), pattern.end()
    value, end, is_quoted = _read_value(text, start)
    if not is_quoted:
        _refuse_operator(value)
    return Term(text[start:end], value, is_quoted=is_quoted), end


def _starts_another(text: str, position: int) -> bool:
    """Return whether a new term begins here, so that the one before has no value (``tag=``)."""
    following = _COMPARISON.match(text, position)
    sign = _SIGN.match(text, position)
    return (
        _KEYWORD.match(text, position) is not None
        or (sign is not None and sign.lastgroup != "not")
        or (following is not None and is_field(following["field"]))
    )


def _read_value(text: str, start: int, *, is_pattern: bool = False) -> tuple[str, int, bool]:
    """Return a value, its end, and whether it was quoted."""
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        value, end = quoted[1] if quoted[1] is not None else quoted[2], quoted.end()
    elif is_pattern:
        end = _pattern_end(text, start)
        value = text[start:end]
    else:
        bare = _BARE.match(text, start)
        value, end = (bare[0], bare.end()) if bare else ("", start)
    follows = text[end : end + 1]
    is_open = quoted is None and value[:1] in ("'", '"')
    if is_open or follows in ("'", '"') or (quoted and follows and not _is_end(follows)):
        raise QueryError(f"{text[start:]!r} has an unclosed quote, or text right after a quote.")
    if follows == "(" and end > start:
        raise QueryError(
            f"{text[start : end + 1]!r} has a parenthesis inside a word. Quote the word, or "
            "put a space before the parenthesis."
        )
    return value, end, quoted is not None


def _is_end(character: str) -> bool:
    """Return whether a term ends before this character."""
    return character.isspace() or character in "()|"


def _pattern_end(text: str, start: int) -> int:
    """Return where an expression without quotes ends: at a space, or at a ``)`` not its own."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if text[position].isspace() or depth < 0:
            return position
    return len(text)


def _refuse_operator(word: str) -> None:
    """Refuse a comparison without a field, and text that looks like a comparison."""
    if word.startswith("/"):
        raise QueryError(
            f"{word!r} begins like a regular expression, /…/, but does not end with a slash. To "
            "search for the text, quote it."
        )
    if word[:1] and word[0] in "=<>:!~≤≥≠":
        raise QueryError(f"{word!r} has no field: write field{word[0]}value, or quote the text.")
    if found := _OPERATOR_INSIDE.search(word):
        raise QueryError(
            f"No field {word[: found.start()]!r} to filter by. List fields with: vld ls --fields\n"
            f"To search for the text, quote it: '{word}'"
        )


class _Parser:
    """Reads tokens: ``or`` binds least, then ``and``, which may be left out, then ``not``."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens
        self._at = 0

    def parse(self) -> Joined:
        """Return the whole filter."""
        if not self._tokens:
            return Joined(())
        tree = self._any(depth=0)
        if self._next == ")":
            raise QueryError("Unmatched ')'.")
        return tree if isinstance(tree, Joined) and not tree.is_any else Joined((tree,))

    @property
    def _next(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _any(self, depth: int) -> Tree:
        parts = [self._every(depth)]
        while self._next == "or":
            self._at += 1
            parts.append(self._every(depth))
        return parts[0] if len(parts) == 1 else Joined(tuple(parts), is_any=True)

    def _every(self, depth: int) -> Tree:
        parts = [self._one(depth)]
        while self._next not in (None, "or", ")"):
            if self._next == "and":
                self._at += 1
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Joined(tuple(parts))

    def _one(self, depth: int) -> Tree:
        token, is_negated = self._next, False
        while token == "not":
            is_negated = not is_negated
            self._at += 1
            token = self._next
        if isinstance(token, Term):
            self._at += 1
            found: Tree = token
        elif token == "(":
            found = self._group(depth)
        else:
            self._refuse(token)
        return Not(found) if is_negated else found

    def _group(self, depth: int) -> Tree:
        if depth == _DEEPEST:
            raise QueryError(f"The query nests parentheses more than {_DEEPEST} deep.")
        self._at += 1
        found = self._any(depth + 1)
        if self._next != ")":
            raise QueryError("Unmatched '('.")
        self._at += 1
        return found

    def _refuse(self, token: str | None) -> NoReturn:
        before = self._tokens[self._at - 1] if self._at else None
        if isinstance(before, str) and before != ")":
            raise QueryError(f"Missing term after {before!r}.")
        raise QueryError(f"Missing term before {token!r}.")
