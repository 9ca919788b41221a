"""The fields of a run as texts: read from what a person typed, and written for a person."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from engine.protocol import FIELDS, FieldInfo, SpecError, is_address

_TRUTHS: Final = {"yes": True, "true": True, "no": False, "false": False}


_NO_FILES: Final = ("pretrained", "none")
"""Values of ``weights`` that name no file."""


def spec_values(given: Mapping[str, object]) -> dict[str, object]:
    """Convert the options that were given to values of their fields.

    Raises:
        SpecError: naming the option, its value and what is allowed.
    """
    values: dict[str, object] = {}
    for name, option in given.items():
        if option is None:
            continue
        info = FIELDS[name]
        value = _parse(info, option) if isinstance(option, str) else option
        try:
            values[name] = info.check(value)
        except SpecError as error:
            raise as_typed(error, given) from None
    return values


def as_typed(error: SpecError, options: Collection[str]) -> SpecError:
    """Return an error whose message begins with an option in place of its field, if that was
    given as an option."""
    name, space, rest = str(error).partition(" ")
    return SpecError(f"{FIELDS[name].flag}{space}{rest}") if name in options else error


def with_absolute_paths(
    values: Mapping[str, object], folder: Path | None = None
) -> dict[str, object]:
    """Return the values with absolute paths; ``folder`` None: the one this was typed in."""
    absolute = dict(values)
    for name in ("data_dir", "weights"):
        value = values.get(name)
        if isinstance(value, str) and (name == "data_dir" or _is_path(value)):
            if not value and folder is None:
                raise SpecError(f"{FIELDS[name].flag} is empty. Give a path.")
            place = os.path.expanduser(value)  # one of an unknown user stays as it is
            absolute[name] = str((folder or Path()).joinpath(place).absolute())
    return absolute


def _is_path(weights: str) -> bool:
    """Say whether weights are a file; an address is refused when the spec is made."""
    return weights not in _NO_FILES and not is_address(weights)


def command_line(values: Mapping[str, object]) -> list[str]:
    """Return the options that give these values: the way back from :func:`spec_values`."""
    words: list[str] = []
    for name, value in values.items():
        flag = FIELDS[name].flag
        if value is None and FIELDS[name].none_is_word:
            continue
        if isinstance(value, bool):
            words.append(flag if value else off_flag(flag))
        elif isinstance(value, tuple | list):
            words += [flag, shown_value(tuple(value))]
        else:
            words += [flag, "none" if value is None else str(value)]
    return words


def shown_value(value: object) -> str:
    """Write a value as it can be typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def off_flag(flag: str) -> str:
    """Return the option that switches a flag off."""
    return "--no-" + flag.removeprefix("--")


def base_type(info: FieldInfo) -> tuple[Any, bool]:
    """Return a field's type without its constraints, and whether it may be missing."""
    kind, optional = info.type, False
    while get_origin(kind) in (Annotated, Union, UnionType):
        arguments = get_args(kind)
        if get_origin(kind) is not Annotated:
            optional = True
            arguments = tuple(each for each in arguments if each is not type(None))
        kind = arguments[0]
    return (tuple if get_origin(kind) is tuple else kind), optional


def _parse(info: FieldInfo, text: str) -> object:
    """Read a text as the field's type; what cannot be read stays text, to be refused as such."""
    base, optional = base_type(info)
    if text == "none" and optional and not info.none_is_word:
        return None
    if base is bool:
        return _TRUTHS.get(text.lower(), text)
    try:
        if base is tuple:
            parts = [part.strip() for part in text.split(",") if part.strip()]
            if parts == ["none"]:
                return ()
            return tuple(parts if info.choices else map(int, parts))
        return base(text) if base in (int, float) else text
    except ValueError:
        return text
