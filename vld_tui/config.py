"""Configuration files: a run's fields in TOML, as ``vld run --config`` reads them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from engine.protocol import FIELDS, SpecError, by_field


class ConfigError(ValueError):
    """A configuration file that cannot be used; the message names the file and the key."""


def read_config(path: Path) -> dict[str, object]:
    """Return the field names and values of a TOML file; those it leaves out are not set.

    A field may be spelled as its flag.

    Raises:
        ConfigError: when the file cannot be read, is not TOML, or holds an unknown key or a
            value out of range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits too
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
    try:
        found = by_field(values)
        for name, value in found.items():
            FIELDS[name].check(value)
    except SpecError as error:
        raise ConfigError(f"{path}: {error}") from None
    return found
