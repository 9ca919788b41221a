"""Which columns of a table hold images, labels and domains, and what their values are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.errors import DataError

_SEPARATORS: Final = str.maketrans({"/": "_", "\\": "_", "\0": "_"})


class ImageColumns(msgspec.Struct, frozen=True):
    """Names of the columns."""

    image: str = "image"
    label: str = "label"
    domain: str = "domain"


class _Feature(msgspec.Struct):
    """A column as the ``datasets`` library describes it; ``names`` of a ClassLabel."""

    names: list[str] | None = None


class _Info(msgspec.Struct):
    features: dict[str, Any] = {}


class _Metadata(msgspec.Struct):
    info: _Info = msgspec.field(default_factory=_Info)


def class_names(
    metadata: Mapping[bytes, bytes] | None, columns: Sequence[str]
) -> dict[str, list[str]]:
    """Return the names of the values of each column that is a ClassLabel.

    Args:
        metadata: of an Arrow schema; the ``datasets`` library writes its features there as JSON.
        columns: names of columns.
    """
    try:
        found = msgspec.json.decode((metadata or {}).get(b"huggingface", b"{}"), type=_Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    names = {}
    for column in columns:
        try:
            feature = msgspec.convert(found.info.features.get(column, {}), _Feature)
        except msgspec.ValidationError:
            continue
        if feature.names:
            names[column] = feature.names
    return names


class FolderNames:
    """The folder that each value of a column goes to: its name, with no way out of the folder."""

    def __init__(self, column: str, names: Sequence[str] | None) -> None:
        """Name the values.

        Args:
            column: its name.
            names: of the values 0, 1, … of a ClassLabel; None: the values are the names.
        """
        self._column = column
        self._names = names
        self._folders: dict[str | int, str] = {}

    def folder(self, value: object, row: str) -> str:
        """Return the folder of a value; ``row`` says where it stands.

        Raises:
            DataError: when it is missing or cannot name a folder.
        """
        if not isinstance(value, str | int):
            kind = "missing" if value is None else f"{type(value).__name__}, not text or a number"
            raise DataError(f"{row}: {self._column} is {kind}.")
        if value not in self._folders:
            self._folders[value] = self._name(value, row)
        return self._folders[value]

    def _name(self, value: str | int, row: str) -> str:
        name = str(value)
        if self._names is not None and isinstance(value, int):
            if not 0 <= value < len(self._names):
                raise DataError(
                    f"{row}: {self._column} is {value}, but there are {len(self._names)} names."
                )
            name = self._names[value]
        folder = name.strip().translate(_SEPARATORS)
        if not folder or folder.startswith("."):
            raise DataError(f"{row}: {self._column} is {name!r}, which cannot name a folder.")
        if folder in self._folders.values():
            raise DataError(
                f"{row}: {self._column} {name!r} and another value would share the folder {folder}."
            )
        return folder
