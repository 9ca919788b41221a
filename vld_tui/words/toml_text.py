"""Read the user's TOML files with tomllib, and change them with tomlkit, which keeps comments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any


def read_toml(text: str) -> dict[str, Any]:
    """Return the values.

    Raises:
        ValueError: when it is not valid TOML, with line and column.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits too
        raise ValueError(f"not valid TOML: {error}.") from None


def written_toml(values: Mapping[str, Any]) -> str:
    """Return values as TOML; simple values must come before tables."""
    import tomlkit  # 25 ms

    return tomlkit.dumps(values)


def change_toml(text: str, changes: Mapping[str, Any]) -> str:
    """Return the text with other top-level values; a value of None removes its key.

    A new key is added above the tables, if any, else at the end.

    Raises:
        ValueError: when it is not valid TOML.
    """
    before = read_toml(text)
    changes = {key: value for key, value in changes.items() if repr(before.get(key)) != repr(value)}
    if not changes:
        return text
    import tomlkit  # 25 ms
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:  # such as lists in lists, 100 deep
        raise ValueError(f"not valid TOML: {error}.") from None
    has_tables = any(isinstance(value, dict | tomlkit.items.AoT) for value in document.values())
    top = tomlkit.document()
    for key, value in changes.items():
        if value is None:
            document.remove(key)
        else:
            is_above = has_tables and key not in document and not isinstance(value, dict)
            (top if is_above else document)[key] = value
    return tomlkit.dumps(top) + tomlkit.dumps(document)
