"""Files of predictions: CSV, JSON lines and parquet, written while images are classified.

What was written stays when the program is interrupted or the disk is full: only whole rows.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from engine.protocol import UserError
from engine.protocol.extras import install_command
from vld_tui.control.new_files import USE_ANOTHER_NAME, check_new_file, give_new_name
from vld_tui.control.predict import ImagePrediction
from vld_tui.control.records import quoting_of

PARQUET_ROWS: Final = 4096
"""Rows of a parquet file that are kept in memory before they are written."""

Encoder = Callable[[Sequence[ImagePrediction]], str]
"""Returns predictions as text, whole lines."""


class PredictionFileError(UserError):
    """A file of predictions cannot be written."""


class PredictionWriter(Protocol):
    """Writes predictions to a file."""

    def write(self, predictions: Sequence[ImagePrediction]) -> None:
        """Write predictions.

        Raises:
            PredictionFileError: when the file cannot be written; earlier rows are kept.
        """

    def close(self) -> None:
        """Finish the file; it keeps what was written.

        Raises:
            PredictionFileError: when it cannot be finished, or not under its name.
        """


def csv_encoder(top: int, separator: str = ",") -> Encoder:
    """Return an encoder as CSV, the header first.

    Args:
        top: number of classes listed in additional columns, if more than 1.
        separator: between values.
    """
    columns = ["path", "class", "probability", "margin", "ood_score", "is_ood", "problem"]
    if top > 1:
        columns += [f"top{at}{end}" for at in range(1, top + 1) for end in ("", "_probability")]
    is_first = True

    def encode(predictions: Sequence[ImagePrediction]) -> str:
        nonlocal is_first
        records = [_flat(each) for each in predictions]
        text = io.StringIO()
        writer = csv.DictWriter(
            text, columns, restval="", lineterminator="\n", delimiter=separator,
            quoting=quoting_of(records), extrasaction="ignore",
        )  # fmt: skip
        if is_first:
            writer.writeheader()
            is_first = False
        writer.writerows(records)
        return text.getvalue()

    return encode


def encode_lines(predictions: Sequence[ImagePrediction]) -> str:
    """Return predictions as JSON lines."""
    return "".join(f"{msgspec.json.encode(each).decode()}\n" for each in predictions)


def _flat(prediction: ImagePrediction) -> dict[str, object]:
    record: dict[str, object] = {
        "path": prediction.path,
        "class": prediction.class_name,
        "probability": _digits(prediction.probability),
        "margin": _digits(prediction.margin),
        "ood_score": _digits(prediction.ood_score),
        "is_ood": "" if prediction.is_ood is None else str(prediction.is_ood).lower(),
        "problem": prediction.problem,
    }
    for at, share in enumerate(prediction.top, 1):
        record |= {f"top{at}": share.class_name, f"top{at}_probability": _digits(share.probability)}
    return record


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


WRITERS: Final[Mapping[str, Callable[[Path, int, bool], PredictionWriter]]] = {
    ".csv": lambda path, top, replaces: TextWriter(path, csv_encoder(top), replaces=replaces),
    ".tsv": lambda path, top, replaces: TextWriter(path, csv_encoder(top, "\t"), replaces=replaces),
    ".jsonl": lambda path, _top, replaces: TextWriter(path, encode_lines, replaces=replaces),
    ".ndjson": lambda path, _top, replaces: TextWriter(path, encode_lines, replaces=replaces),
    ".parquet": lambda path, _top, replaces: ParquetWriter(path, replaces=replaces),
}
"""How to write a file, by its suffix; from path, number of top classes, and whether to replace."""


def prediction_writer(
    path: Path, *, top: int, replaces: bool = False, advice: str = USE_ANOTHER_NAME
) -> PredictionWriter:
    """Return the writer of a new file, whose format is that of its suffix.

    The file is created with the first predictions.

    Args:
        path: of the file.
        top: number of classes to list.
        replaces: replace an existing file.
        advice: what to do if the file exists.

    Raises:
        PredictionFileError: when the suffix is unknown, the file exists, or a package is missing.
    """
    make = WRITERS.get(path.suffix.lower())
    if make is None:
        known = ", ".join(WRITERS)
        raise PredictionFileError(f"{path} has no known format. Use one of the suffixes {known}.")
    check_new_file(path, replaces=replaces, refused=PredictionFileError, advice=advice)
    return make(path, top, replaces)


class TextWriter:
    """Writes lines; after an error the file ends with its last whole row."""

    def __init__(self, path: Path, encode: Encoder, *, replaces: bool = False) -> None:
        self._path, self._encode = path, encode
        self._mode = "wb" if replaces else "xb"
        self._file: io.FileIO | None = None

    def write(self, predictions: Sequence[ImagePrediction]) -> None:
        """Write predictions."""
        data = self._encode(predictions).encode()
        try:
            if self._file is None:
                self._file = io.FileIO(self._path, self._mode)
            self._write(self._file, data)
        except OSError as error:
            raise _cannot_write(self._path, error) from None

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, file: io.FileIO, data: bytes) -> None:
        begin, written = file.tell(), 0
        try:
            while written < len(data):
                written += file.write(data[written:]) or 0
        except BaseException:
            whole = data.rfind(b"\n", 0, written) + 1
            with contextlib.suppress(OSError):  # not of a device
                file.truncate(begin + whole)
            raise


class ParquetWriter:
    """Writes a parquet file under a temporary name, and renames it when it is finished."""

    def __init__(self, path: Path, *, replaces: bool = False) -> None:
        try:
            import pyarrow  # noqa: F401 - an extra
        except ImportError:
            raise PredictionFileError(
                f"Parquet files need an additional package. Install it: {install_command('data')}"
            ) from None
        self._path, self._replaces = path, replaces
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._rows: list[ImagePrediction] = []
        self._file: Any = None

    def write(self, predictions: Sequence[ImagePrediction]) -> None:
        """Write predictions."""
        self._rows.extend(predictions)
        if len(self._rows) >= PARQUET_ROWS:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        if self._file is None:
            return
        try:
            self._file.close()
        except BaseException as error:  # without its end, a parquet file cannot be read
            self._temporary.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise _failure(f"Cannot write to {self._path}: {error.strerror or error}.") from None
        reason = "it exists by now"
        try:
            if self._replaces:
                self._temporary.replace(self._path)
                return
            if give_new_name(self._temporary, self._path):
                self._temporary.unlink(missing_ok=True)
                return
        except OSError as error:
            reason = error.strerror or str(error)
        raise _failure(
            f"Cannot write to {self._path}: {reason}. "
            f"The rows written so far are in {self._temporary}."
        )

    def _flush(self) -> None:
        if not self._rows:
            return
        import pyarrow
        import pyarrow.parquet

        records = [msgspec.to_builtins(each) for each in self._rows]
        try:
            table = pyarrow.Table.from_pylist(records, schema=_schema())
            if self._file is None:
                self._file = pyarrow.parquet.ParquetWriter(self._temporary, table.schema)
            self._file.write_table(table)
        except OSError as error:
            raise _cannot_write(self._path, error) from None
        finally:
            self._rows = []


def _schema() -> Any:
    import pyarrow

    share = pyarrow.struct([("class", pyarrow.string()), ("probability", pyarrow.float64())])
    return pyarrow.schema(
        [
            ("path", pyarrow.string()),
            ("class", pyarrow.string()),
            ("probability", pyarrow.float64()),
            ("margin", pyarrow.float64()),
            ("top", pyarrow.list_(share)),
            ("ood_score", pyarrow.float64()),
            ("is_ood", pyarrow.bool_()),
            ("problem", pyarrow.string()),
        ]
    )


def _cannot_write(path: Path, error: OSError) -> PredictionFileError:
    reason = error.strerror or error
    return _failure(f"Cannot write to {path}: {reason}. The rows written so far are kept.")


def _failure(message: str) -> PredictionFileError:
    failure = PredictionFileError(message)
    failure.exit_code = 1
    return failure
