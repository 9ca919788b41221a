"""Declaration of settings: type, range, default, unit, help, roles and text form.

A struct declares its settings with :func:`about`; :func:`fields_of` reads them. Command-line
options, the form, configuration files, queries, run identity and the documentation are generated
from the result, and every list of settings is a query over roles.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta

from engine.errors import UserError

Role = Literal[
    "place",
    "seed",
    "measured_on",
    "not_result",
    "not_own_result",
    "pace",
    "cost",
    "memory",
    "shared",
    "course",
    "path",
    "implied",
    "in_sight",
    "reported",
]
"""The roles of a setting. Without a role, a setting only affects the run's result.

``place``: selects the images a run trains on and holds out. ``seed``: differs between runs of one
configuration. ``measured_on``: makes ID accuracies incomparable. ``not_result``: affects where, how
or with which records a run is computed, but not its result. ``not_own_result``: does not affect the
run's own network. ``pace``: makes step times incomparable. ``cost``: changes time or disk space
predictably. ``memory``: changes the memory use. ``shared``: must be equal in runs to combine.
``course``: concerns training only, so combination runs set it themselves. ``path``: a file or
folder. ``implied``: not counted among a study's varied settings. ``in_sight``: shown in the form
without unfolding. ``reported``: stated in reports even at its default.
"""

MOST_SHOWN: Final = 200
"""Maximum number of characters of a rejected value shown in an error."""
_MUCH_FARTHER: Final = 0.15
"""Difference of two ratios of likeness, from 0 to 1."""
_TRUTHS: Final = {"yes": True, "true": True, "no": False, "false": False}


class SpecError(UserError, ValueError):
    """An invalid specification; the message names field, value and allowed range."""


def about(
    help_text: str,
    group: str = "",
    *,
    roles: str = "",
    flag: str | None = None,
    unit: str | None = None,
    metavar: str | None = None,
    choices: Iterable[str] = (),
    joined_by: str | None = None,
    most: float | None = None,
    none_is_word: bool = False,
    only_with: tuple[str, str] | None = None,
    completion: str | None = None,
    hint: str = "",
) -> Meta:
    """Describe a field; see :class:`FieldInfo`.

    Args:
        roles: names of :data:`Role`, separated by spaces.
        joined_by: separates several choices in one text; their order has no meaning.
        most: maximum, to reject values that can only be mistakes. It is not part of the type, so
            that stored runs with larger values stay readable.
        only_with: another field and its value (or item) that this field needs to have an effect.
        completion: kind of shell completions, if not the choices.
        hint: sentence after the refusal of a value that is not of the type or too small.
    """
    unknown = set(roles.split()).difference(get_args(Role))
    if unknown:
        raise ValueError(f"unknown roles: {', '.join(sorted(unknown))}")
    extra = {
        "group": group,
        "roles": frozenset(roles.split()),
        "flag": flag,
        "unit": unit,
        "metavar": metavar,
        "choices": tuple(choices),
        "joined_by": joined_by,
        "most": most,
        "none_is_word": none_is_word,
        "only_with": only_with,
        "completion": completion,
        "hint": hint,
    }
    return Meta(description=help_text, extra=extra)


class FieldInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a struct, as the interfaces need it.

    ``base`` is the type without constraints and without None, ``is_optional`` whether None is
    allowed. ``none_is_word``: ``none`` is an ordinary text value and does not mean None. ``word``:
    the text that a number may be instead.
    """

    name: str
    type: Any
    base: Any
    is_optional: bool
    default: Any
    help: str
    group: str
    roles: frozenset[Role]
    flag: str
    unit: str | None
    metavar: str | None
    choices: tuple[str, ...]
    allowed: str
    joined_by: str | None = None
    most: float | None = None
    none_is_word: bool = False
    only_with: tuple[str, str] | None = None
    completion: str | None = None
    hint: str = ""
    word: str | None = None

    @property
    def label(self) -> str:
        """Return the short name that tables and reports use: ``dropout`` for ``dropout_rate``."""
        return self.flag.removeprefix("--")

    @property
    def spelled_as_flag(self) -> str:
        """Return the flag as a key: ``dropout`` for ``dropout_rate``."""
        return self.label.replace("-", "_")

    @property
    def off_flag(self) -> str:
        """Return the option that switches a flag off."""
        return f"--no-{self.label}"

    @property
    def long_flag(self) -> str:
        """Return the option with the field's name."""
        return "--" + self.name.replace("_", "-")

    def read_text(self, text: str) -> object:
        """Return the value of a text; text that cannot be parsed is returned unchanged, so that
        :meth:`check` rejects it."""
        if text == "none" and self.is_optional and not self.none_is_word:
            return None
        if self.base is bool:
            return _TRUTHS.get(text.lower(), text)
        try:
            if self.base is tuple:
                parts = [part.strip() for part in text.split(",") if part.strip()]
                if parts == ["none"]:
                    return ()
                return tuple(parts if self.choices else map(int, parts))
            return self.base(text) if self.base in (int, float) else text
        except ValueError:
            return text

    def check(self, value: object) -> Any:
        """Return ``value`` converted to the field's type.

        Raises:
            SpecError: if it is not allowed; names field, value and allowed range.
        """
        if isinstance(value, float) and str(value) == self.word:
            return self.word  # the infinity of TOML
        parts = value if isinstance(value, list | tuple) else (value,)
        numbers = [
            part for part in parts if isinstance(part, int | float) and not isinstance(part, bool)
        ]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise self._refusal(value, self.allowed.replace("a number", "a finite number", 1))
        if self.most is not None and any(number > self.most for number in numbers):
            most = f"{self.most:,.0f}"
            raise SpecError(f"{self.name} is {_shown(value)}, but must be at most {most}.")
        try:
            converted = msgspec.convert(value, self.type)
        except msgspec.ValidationError:
            raise self._refusal(value, self.allowed) from None
        words = converted if isinstance(converted, tuple) else (converted,)
        if self.joined_by is not None:
            words = tuple(word.strip() for word in converted.split(self.joined_by))
        elif self.choices and isinstance(converted, tuple):
            converted = tuple(dict.fromkeys(converted))  # without duplicates
        if self.choices and any(word not in self.choices for word in words):
            raise self._refusal(value, self.allowed)
        if self.joined_by is not None:
            twice = next((word for word in words if words.count(word) > 1), None)
            if twice is not None:
                raise SpecError(f"{self.name} is {_shown(value)}, but {twice} is named twice.")
            converted = self.joined_by.join(self._without_default(words))
        return converted

    def _without_default(self, words: tuple[str, ...]) -> list[str]:
        """Return joined words in the order of the choices, and without the default if others are
        joined, so that equal settings are equal texts."""
        others = [each for each in self.choices if each in words and each != self.default]
        return others or [self.default]

    def _refusal(self, value: object, allowed: str) -> SpecError:
        words = value if isinstance(value, list | tuple) else [value]
        if self.joined_by is not None and isinstance(value, str):
            words = [word.strip() for word in value.split(self.joined_by)]
        hint = self.hint and f" {self.hint}"
        unknown = next((w for w in words if isinstance(w, str) and w not in self.choices), None)
        if self.choices and unknown is not None:
            hint = nearest(unknown, self.choices)
        if self.joined_by is not None and len(words) > 1 and "" in words:
            hint = f" A name next to a {self.joined_by} is missing."
        return SpecError(f"{self.name} is {_shown(value)}, but must be {allowed}.{hint}")


def shown_value(value: object) -> str:
    """Return a value as the text that a user would type."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(shown_value, value)) or "none"
    text = "none" if value is None else str(value)
    return text.removesuffix(".0") if isinstance(value, float) else text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean …?`` with the nearest known names, or an empty string.

    Names much farther than the nearest one are not mentioned.
    """
    typed = word.casefold()
    spelled = {name.casefold(): name for name in known}
    matches = difflib.get_close_matches(typed, list(spelled), n=3, cutoff=0.6)
    likeness = [difflib.SequenceMatcher(None, name, typed).ratio() for name in matches]
    near = [
        spelled[name]
        for name, ratio in zip(matches, likeness, strict=True)
        if ratio > likeness[0] - _MUCH_FARTHER
    ]
    return f" Did you mean {' or '.join(near)}?" if near else ""


def fields_of(struct: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """Return every field of a struct by name, in declaration order."""
    infos: dict[str, FieldInfo] = {}
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        kind, *metas = get_args(hints[field.name])
        described = next(meta for meta in metas if meta.description)
        extra = dict(described.extra or {})
        base, is_optional = _base_type(kind)
        words = [get_args(arm)[0] for arm in get_args(kind) if get_origin(arm) is Literal]
        choices = get_args(kind) if get_origin(kind) is Literal else extra["choices"]
        infos[field.name] = FieldInfo(
            **extra | {
                "name": field.name,
                "type": hints[field.name],
                "base": base,
                "is_optional": is_optional,
                "default": field.default,
                "help": described.description or "",
                "flag": extra["flag"] or "--" + field.name.replace("_", "-"),
                "choices": choices,
                "word": words[0] if words else None,
                "allowed": _allowed_words(kind, choices, extra["joined_by"])
                if choices
                else _allowed(kind, metas),
            }
        )  # fmt: skip
    return infos


def _base_type(kind: Any) -> tuple[Any, bool]:
    """Return a type without its constraints, and whether it may be None."""
    optional = False
    while get_origin(kind) in (Annotated, Union, UnionType):
        arguments = get_args(kind)
        if get_origin(kind) is not Annotated:
            optional = type(None) in arguments
            arguments = tuple(each for each in arguments if each is not type(None))
        kind = arguments[0]
    if get_origin(kind) is Literal:
        return str, optional
    return (tuple if get_origin(kind) is tuple else kind), optional


def _shown(value: object) -> str:
    """Format a rejected value, shortened if it is long."""
    try:
        text = repr(",".join(map(str, value)) if isinstance(value, list | tuple) else value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return "a number with thousands of digits"
    if len(text) <= MOST_SHOWN:
        return text
    return f"{text[: MOST_SHOWN // 2]}… ({len(text):,} characters)"


def _written(bound: float) -> str:
    """Format a bound: integers with all digits, floats without ``.0``."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _allowed_words(kind: Any, choices: tuple[str, ...], joined_by: str | None) -> str:
    listed = ", ".join(choices)
    if joined_by is not None:
        return f"one of {listed}, or several joined by {joined_by}"
    return f"any of {listed}" if get_origin(kind) is tuple else f"one of {listed}"


def _allowed(kind: Any, metas: list[Meta]) -> str:
    """Return the text of the values a field accepts."""
    if get_origin(kind) in (Union, UnionType):
        inner = next(arg for arg in get_args(kind) if arg is not type(None))
        base, *inner_metas = get_args(inner) if get_origin(inner) is Annotated else (inner,)
        others = [get_args(arm)[0] for arm in get_args(kind) if get_origin(arm) is Literal]
        return ", or ".join([_allowed(base, inner_metas), *(others or ["none"])])
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    items = "texts" if str in get_args(kind) else "whole numbers"
    text = words.get(kind, f"a list of {items}")
    for meta in metas:
        if meta.min_length is not None:
            text += " that is not empty"
        if meta.gt is not None:
            text += f" above {_written(meta.gt)}"
        if meta.ge is not None:
            text += " of at least" if meta.le is None and meta.lt is None else " from"
            text += f" {_written(meta.ge)}"
        if meta.lt is not None:
            text += f" {'and' if meta.ge is None else 'to'} below {_written(meta.lt)}"
        if meta.le is not None:
            text += f" to {_written(meta.le)}"
    return text
