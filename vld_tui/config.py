"""Configuration files of ``vld run --config``: a run's settings in TOML."""

from __future__ import annotations

from pathlib import Path

from engine.protocol import FIELDS, SpecError, UserError, by_field
from vld_tui.words.toml_text import read_toml


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
