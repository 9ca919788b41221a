"""The grids of a study file: fixed fields, and crossed or zipped lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from engine.protocol import (
    FIELDS,
    SPELLINGS,
    SpecError,
    UserError,
    by_field,
    nearest,
    nearest_field,
)
from vld_tui.runs.fields import with_absolute_paths

ALL: Final = "all"
"""Value of ``target`` for every domain of the data set."""
DATA: Final = "data"
"""Key of a data set by name or folder, next to the fields."""

Values = Mapping[str, Any]
Axis = tuple[Values, ...]
"""Fields that vary together: one mapping of values per variant."""

_BLOCK_KEYS: Final = ("fields", "cross", "zip")


class StudyError(UserError):
    """An invalid or missing study; the message names the file and the key."""


@dataclass(frozen=True)
class Grid:
    """One grid: fields shared by all runs, and crossed axes."""

    fields: Values
    axes: tuple[Axis, ...]
    excluded: tuple[Values, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the fields of the grid, except ``data``."""
        varied = (name for axis in self.axes for name in axis[0])
        return tuple(name for name in dict.fromkeys((*self.fields, *varied)) if name != DATA)

    def overlaid(self, other: Grid) -> Grid:
        """Return this grid with the values of the other one replacing its own."""
        named = set(other.names)
        axes = tuple(axis for axis in self.axes if named.isdisjoint(axis[0]))
        fields = {name: value for name, value in self.fields.items() if name not in named}
        return replace(self, fields={**fields, **other.fields}, axes=_ordered(axes + other.axes))


def grids_of(values: Values, folder: Path) -> list[Grid]:
    """Return the grid of a study, and those it adds.

    Raises:
        StudyError: for an unknown field, an empty list, zipped lists of different lengths, or a
            value that is not a table.
    """
    base = _block(values, "", folder)
    keep = values.get("keep", "best")
    try:
        kept = check_value("keep_checkpoints", keep, "")
    except StudyError as error:
        raise StudyError(str(error).replace("keep_checkpoints", "keep", 1)) from None
    if "keep_checkpoints" not in base.names:
        base = replace(base, fields={**base.fields, "keep_checkpoints": kept})
    elif "keep" in values:
        raise StudyError("keep and keep_checkpoints are the same field; set only one.")
    base = replace(base, axes=_ordered(_data_axis(values, base, folder) + base.axes))
    base = replace(base, excluded=tuple(_excluded(values, folder)))
    added = []
    for number, block in enumerate(_tables(values, "add"), start=1):
        where = f"[[add]] {number} "
        for key in block:
            if key not in _BLOCK_KEYS:
                raise StudyError(f"{where}has an unknown key {key!r}.{nearest(key, _BLOCK_KEYS)}")
        added.append(base.overlaid(_block(block, where, folder)))
    return [base, *added]


def check_fields(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the names of fields, which may be written as flags.

    Raises:
        StudyError: for an unknown field, with the nearest names.
    """
    fields = []
    for name in names:
        field = SPELLINGS.get(name.replace("-", "_"))
        if field is None:
            raise StudyError(f"{where} has an unknown field {name!r}.{nearest_field(name)}")
        fields.append(field)
    return tuple(fields)


def check_value(name: str, value: object, where: str) -> Any:
    """Return a value in its field's type; ``"none"`` means None for an optional field unless it
    is one of the field's own words.

    Raises:
        StudyError: when the value is invalid.
    """
    info = FIELDS[name]
    if value == "none" and info.is_optional and not info.none_is_word:
        return None
    try:
        return info.check(value)
    except SpecError as error:
        raise StudyError(f"{where} {error}".lstrip()) from None


def _block(values: Values, where: str, folder: Path) -> Grid:
    fields = _by_field(_table(values, "fields", where), f"{where}[fields]")
    cross = _by_field(_table(values, "cross", where), f"{where}[cross]")
    zips = [(place, _by_field(table, place)) for number, table in
            enumerate(_tables(values, "zip"), start=1)
            for place in [f"{where}[[zip]] {number}"]]  # fmt: skip
    places = [(f"{where}[fields]", fields), (f"{where}[cross]", cross), *zips]
    seen: dict[str, str] = {}
    for place, table in places:
        for name in table:
            if name == "seed":
                raise StudyError(
                    f"{place} sets seed: use seeds = [0, 1, 2] above all tables instead."
                )
            if name in seen:
                raise StudyError(f"{name} is in both {seen[name]} and {place}; set it in one.")
            seen[name] = place
    fixed = {name: _checked(name, value, places[0][0], folder) for name, value in fields.items()}
    axes = [_crossed(name, value, places[1][0], folder) for name, value in cross.items()]
    axes += [_zipped(table, place, folder) for place, table in zips]
    return Grid(fixed, _ordered(axes))


def _by_field(table: Values, where: str) -> Values:
    """Return a table by field names, which may be written as flags."""
    check_fields(table, where)
    try:
        return by_field(table)
    except SpecError as error:
        raise StudyError(f"{where}: {error}") from None


def _crossed(name: str, given: object, where: str, folder: Path) -> Axis:
    if name == "target" and given == ALL:
        return ({name: ALL},)
    return tuple({name: value} for value in _list(name, given, where, folder))


def _zipped(table: Values, where: str, folder: Path) -> Axis:
    lists = {name: _list(name, given, where, folder) for name, given in table.items()}
    lengths = {name: len(values) for name, values in lists.items()}
    if not lists:
        raise StudyError(f"{where} is empty.")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise StudyError(f"{where} has lists of different lengths: {told}.")
    rows = zip(*lists.values(), strict=True)
    return tuple(dict(zip(lists, row, strict=True)) for row in rows)


def _list(name: str, given: object, where: str, folder: Path) -> list[Any]:
    if not isinstance(given, list):
        raise StudyError(f"{where} {name} is {given!r}, but must be a list of values.")
    if not given:
        raise StudyError(f"{where} {name} is an empty list.")
    return [_checked(name, value, where, folder) for value in given]


def _checked(name: str, given: object, where: str, folder: Path) -> Any:
    value = check_value(name, given, where)
    return with_absolute_paths({name: value}, folder)[name]


def _data_axis(values: Values, base: Grid, folder: Path) -> tuple[Axis, ...]:
    names = values.get(DATA)
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StudyError(f"data is {names!r}, but must be a list of data sets or folders.")
    if not names:
        raise StudyError("data is an empty list.")
    if both := {"dataset", "data_dir"}.intersection(base.names):
        raise StudyError(f"data and {min(both)} both set the images; use only one.")
    return (tuple({DATA: _located(name, folder)} for name in names),)


def _located(name: str, folder: Path) -> str:
    """Return a data set's name, or a folder's path if it contains ``/`` or starts with ``.`` or
    ``~``."""
    is_path = "/" in name or name.startswith((".", "~"))
    return str((folder / Path(name).expanduser()).absolute()) if is_path else name


def _excluded(values: Values, folder: Path) -> Iterable[Values]:
    for number, table in enumerate(_tables(values, "exclude"), start=1):
        where = f"[[exclude]] {number}"
        if not table:
            raise StudyError(f"{where} is empty.")
        excluded = _by_field(table, where)
        yield {name: _checked(name, value, where, folder) for name, value in excluded.items()}


def _table(values: Values, key: str, where: str) -> Values:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise StudyError(f"{where}[{key}] must be a table of fields.")
    return table


def _tables(values: Values, key: str) -> Sequence[Values]:
    tables = values.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise StudyError(f"{key} must be a list of tables: write [[{key}]] with fields below it.")
    return tables


def _ordered(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """Return axes in an order that does not depend on the file."""
    places = {name: place for place, name in enumerate((DATA, *FIELDS))}
    return tuple(sorted(axes, key=lambda axis: min(places[name] for name in axis[0])))
