"""Import of images from parquet files and data sets saved by the ``datasets`` library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.datasets.formats import HEAD_BYTES, sniff
from engine.errors import DataError
from engine.protocol.extras import install_command
from engine.work import Progress

BATCH_ROWS: Final = 64
"""Rows read at a time; their images must fit in memory."""
OTHER_SUFFIX: Final = ".jpg"
"""Suffix for unrecognised content; decoders report files that are not images."""
_SEPARATORS: Final = str.maketrans({"/": "_", "\\": "_", "\0": "_"})


class ImageColumns(msgspec.Struct, frozen=True):
    """Names of the columns of images, labels and domains."""

    image: str = "image"
    label: str = "label"
    domain: str = "domain"


class _Table(NamedTuple):
    """A file's columns, schema metadata, number of rows, and a function that reads batches."""

    columns: list[str]
    metadata: Mapping[bytes, bytes] | None
    rows: int
    batches: Callable[[list[str]], Iterator[Any]]


def find_tables(path: Path) -> list[Path]:
    """Return the parquet files at a path, or the Arrow files of a saved data set, sorted.

    Searches the folder and its subfolders, such as one for each split.
    """
    if path.is_file():
        return [path] if path.suffix.lower() == ".parquet" else []
    for pattern in ("*.parquet", "data-*.arrow"):
        found = sorted([*path.glob(pattern), *path.glob(f"*/{pattern}")])
        if found:
            return found
    return []


def write_images(
    files: Sequence[Path], into: Path, columns: ImageColumns, on_progress: Progress
) -> None:
    """Write each row's image, unchanged, as ``domain/class/NNNNNN.suffix``.

    Files are numbered by row. Labels and domains are named by the schema's ClassLabel if it has
    one, otherwise by their values. A ``/`` in a name becomes ``_``.

    Raises:
        DataError: if pyarrow is not installed, a file is damaged or lacks a column, or a row has no
            image, label or domain.
        OSError: if a file cannot be written.
    """
    require_pyarrow()
    tables = [_open(file) for file in files]
    for file, table in zip(files, tables, strict=True):
        _check_columns(file, table.columns, columns)
    total = sum(table.rows for table in tables)
    names = class_names(tables[0].metadata, (columns.label, columns.domain))
    classes = FolderNames(columns.label, names.get(columns.label))
    domains = FolderNames(columns.domain, names.get(columns.domain))
    wanted = [columns.image, columns.label, columns.domain]
    done = 0
    for file, table in zip(files, tables, strict=True):
        for number, (image, label, domain) in enumerate(_values(file, table, wanted)):
            row = f"Row {number} of {file}"
            folder = into / domains.folder(domain, row) / classes.folder(label, row)
            content = _content(image, row)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{done:06}{_suffix(content)}").write_bytes(content)
            done += 1
            if done % BATCH_ROWS == 0 or done == total:
                on_progress(done, total)


def read_parquet_column(file: Path, column: str, advice: str) -> Iterator[str]:
    """Yield the values of a text column.

    ``advice``: what to do if the column is missing.

    Raises:
        DataError: if pyarrow is not installed, the file is damaged or lacks the column, or a value
            is not text.
    """
    require_pyarrow()
    table = _open(file)
    if column not in table.columns:
        known = ", ".join(table.columns)
        raise DataError(f"{file} has no column {column}; its columns are {known}. {advice}")
    for number, value in enumerate(_values(file, table, [column])):
        if not isinstance(value[0], str) or not value[0]:
            raise DataError(f"Row {number} of {file} has no text in column {column}. {advice}")
        yield value[0]


def _values(file: Path, table: _Table, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of some columns, row by row."""
    import pyarrow  # an extra

    try:
        for batch in table.batches(columns):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def require_pyarrow() -> None:
    """Check that pyarrow is installed.

    Raises:
        DataError: if not; states how to install it.
    """
    try:
        import pyarrow  # noqa: F401 - an extra
    except ImportError:
        raise DataError(
            f"Parquet files need an additional package. Install it: {install_command('data')}"
        ) from None


def _open(file: Path) -> _Table:
    import pyarrow  # an extra
    import pyarrow.ipc
    import pyarrow.parquet

    try:
        if file.suffix.lower() == ".parquet":
            table = pyarrow.parquet.ParquetFile(file)
            schema, rows = table.schema_arrow, table.metadata.num_rows
            return _Table(
                schema.names, schema.metadata, rows,
                lambda names: table.iter_batches(BATCH_ROWS, columns=names),
            )  # fmt: skip
        stream = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file)))
        batches = list(stream)  # mapped, not read
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from None
    pieces = (
        batch.slice(start, BATCH_ROWS)
        for batch in batches
        for start in range(0, batch.num_rows, BATCH_ROWS)
    )
    rows = sum(batch.num_rows for batch in batches)
    return _Table(stream.schema.names, stream.schema.metadata, rows, lambda _: pieces)


def _check_columns(file: Path, known: Sequence[str], columns: ImageColumns) -> None:
    missing = [name for name in (columns.image, columns.label, columns.domain) if name not in known]
    if missing:
        raise DataError(
            f"{file} has no column {', '.join(missing)}; its columns are {', '.join(known)}. Give "
            "vld data add --image-column, --label-column and --domain-column."
        )


def _content(image: object, row: str) -> bytes:
    """Return the bytes of an image: the value itself, or ``bytes`` of a struct."""
    content = image.get("bytes") if isinstance(image, dict) else image
    if isinstance(content, bytes) and content:
        return content
    path = image.get("path") if isinstance(image, dict) else None
    where = f"; it refers to the file {path}, which is not in the table" if path else ""
    raise DataError(f"{row} has no image{where}.")


def _suffix(content: bytes) -> str:
    return sniff(content[:HEAD_BYTES]) or OTHER_SUFFIX


def _damaged(file: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"{file} cannot be read: {reason.rstrip('.')}. If it was downloaded, download it again."
    )


class _Feature(msgspec.Struct):
    """A column's description by the ``datasets`` library; ``names`` of a ClassLabel."""

    names: list[str] | None = None


class _Info(msgspec.Struct):
    features: dict[str, Any] = {}


class _Metadata(msgspec.Struct):
    info: _Info = msgspec.field(default_factory=_Info)


def class_names(
    metadata: Mapping[bytes, bytes] | None, columns: Sequence[str]
) -> dict[str, list[str]]:
    """Return the value names of each column that is a ClassLabel.

    Args:
        metadata: of an Arrow schema, where the ``datasets`` library stores its features as JSON.
        columns: column names.
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
    """Maps the values of a column to safe folder names."""

    def __init__(self, column: str, names: Sequence[str] | None) -> None:
        """Set the value names.

        Args:
            column: its name.
            names: names of the values 0, 1, … of a ClassLabel; None: the values are the names.
        """
        self._column = column
        self._names = names
        self._folders: dict[str | int, str] = {}

    def folder(self, value: object, row: str) -> str:
        """Return the folder of a value; ``row`` is its place, for the message.

        Raises:
            DataError: if the value is missing or not a valid folder name.
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
            raise DataError(f"{row}: {self._column} is {name!r}, which is not a valid folder name.")
        if folder in self._folders.values():
            raise DataError(
                f"{row}: {self._column} {name!r} and another value would share the folder {folder}."
            )
        return folder
