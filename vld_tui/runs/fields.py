"""The fields of a run from and to text: options, and configuration files in TOML."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from engine.protocol import (
    FIELDS,
    SpecError,
    UserError,
    by_field,
    fields_with,
    is_address,
    shown_value,
)
from engine.protocol.embedded import EMBEDDED_DATASETS
from engine.protocol.spec import NO_WEIGHT_FILES
from vld_tui.words.toml_text import read_toml


def spec_values(given: Mapping[str, object]) -> dict[str, object]:
    """Convert options to the values of their fields.

    Raises:
        SpecError: with the option, its value and what is allowed.
    """
    values: dict[str, object] = {}
    for name, option in given.items():
        if option is None:
            continue
        info = FIELDS[name]
        value = info.read_text(option) if isinstance(option, str) else option
        try:
            values[name] = info.check(value)
        except SpecError as error:
            raise as_typed(error, given) from None
    return values


def as_typed(error: SpecError, options: Collection[str]) -> SpecError:
    """Return an error that names the option instead of the field if it was given as an option."""
    name, space, rest = str(error).partition(" ")
    return SpecError(f"{FIELDS[name].flag}{space}{rest}") if name in options else error


def with_absolute_paths(
    values: Mapping[str, object], folder: Path | None = None
) -> dict[str, object]:
    """Return the values with absolute paths; ``folder`` None: the current directory."""
    absolute = dict(values)
    for name in fields_with("path"):
        value = values.get(name)
        if isinstance(value, str) and _is_path(name, value):
            if not value and folder is None:
                raise SpecError(f"{FIELDS[name].flag} is empty. Give a path.")
            expanded = os.path.expanduser(value)  # a path of an unknown user stays unchanged
            absolute[name] = str((folder or Path()).joinpath(expanded).absolute())
    return absolute


def _is_path(name: str, value: str) -> bool:
    """Return whether a field's value is a path, not a word; URLs are rejected with the spec."""
    if name == "outliers":
        return value not in EMBEDDED_DATASETS
    return name != "weights" or not (value in NO_WEIGHT_FILES or is_address(value))


def command_line(values: Mapping[str, object]) -> list[str]:
    """Return the options for these values, the inverse of :func:`spec_values`."""
    words: list[str] = []
    for name, value in values.items():
        flag = FIELDS[name].flag
        if value is None and FIELDS[name].none_is_word:
            continue
        if isinstance(value, bool):
            words.append(flag if value else FIELDS[name].off_flag)
        elif isinstance(value, tuple | list):
            words += [flag, shown_value(tuple(value))]
        else:
            words += [flag, "none" if value is None else str(value)]
    return words


class ConfigError(UserError):
    """An invalid configuration file; the message names the file and the key."""


def read_config(path: Path) -> dict[str, object]:
    """Return the field names and values of a TOML file.

    A field may be written as its flag.

    Raises:
        ConfigError: when the file cannot be read, is not TOML, or has an unknown key or a
            value out of range.
    """
    try:
        values = read_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not valid TOML: it is not text in UTF-8.") from None
    except ValueError as error:
        raise ConfigError(f"{path} is {error}") from None
    try:
        found = by_field(values)
        for name, value in found.items():
            FIELDS[name].check(value)
    except SpecError as error:
        raise ConfigError(f"{path}: {error}") from None
    return found
