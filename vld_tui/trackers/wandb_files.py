"""The files in which W&B keeps a run, ``run-ID.wandb``: their records, and the runs in them.

A file is a log in LevelDB's format after a header of seven bytes: blocks of 32 KiB with parts of
records, each with its checksum, length and kind. The records are W&B's protocol buffers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError
from wandb.proto import wandb_internal_pb2

from vld_tui.trackers.tracker import FoundRun, TrackerError

_HEADER: Final = 7
"""Bytes before a part, and before the first block's parts."""
_BLOCK: Final = 2**15
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_RECORD: Final[Any] = vars(wandb_internal_pb2)["Record"]  # made at run time
_SIGNATURE: Final = b":W&B"


def read_records(path: Path) -> Iterator[Any]:
    """Yield the records of a file, up to its end or to an incomplete record there.

    Raises:
        OSError: when it cannot be read.
        TrackerError: when a record is damaged, or it is another kind of file.
    """
    content = path.read_bytes()
    if content and not content.startswith(_SIGNATURE):
        raise TrackerError(f"{path} is not a file of W&B, or is damaged. Move it away.")
    for data in _records(content):
        record = _RECORD()
        try:
            record.ParseFromString(data)
        except DecodeError:
            raise TrackerError(
                f"{path} is damaged: a record cannot be read. Move it away."
            ) from None
        yield record


def read_runs(folder: Path) -> Iterator[FoundRun]:
    """Yield the runs in the files below a folder; several files of one run are joined.

    Raises:
        OSError, TrackerError: when a file cannot be read.
    """
    readers: dict[str, _RunReader] = {}
    for path in sorted(folder.rglob("run-*.wandb")):
        reader: _RunReader | None = None
        for record in read_records(path):
            if record.HasField("run"):
                run = record.run
                key = f"{run.entity}/{run.project}/{run.run_id}"
                reader = readers.setdefault(key, _RunReader(key))
            if reader is not None:
                reader.take(record)
    for reader in readers.values():
        yield reader.found()


class _RunReader:
    """Collects the records of one run."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._run: Any = None
        self._curves: dict[str, dict[int, float]] = {}
        self._settings: dict[str, str | float | bool | None] = {}
        self._axes: dict[str, str] = {}
        self._status = ""

    def take(self, record: Any) -> None:
        """Add a record of any kind."""
        if record.HasField("run"):
            self._run = record.run
            self._configure(record.run.config)
        elif record.HasField("config"):
            self._configure(record.config)
        elif record.HasField("metric") and record.metric.step_metric:
            metric = record.metric
            self._axes[metric.name or metric.glob_name] = metric.step_metric
        elif record.HasField("history"):
            self._add(record.history)
        elif record.HasField("exit"):
            self._status = "failed" if record.exit.exit_code else "finished"

    def found(self) -> FoundRun:
        """Return the run."""
        run = self._run
        return FoundRun(
            key=self._key,
            name=run.display_name or run.run_id,
            curves=self._curves,
            settings=self._settings,
            group=run.run_group or None,
            tags=tuple(run.tags),
            note=run.notes,
            status=self._status,
        )

    def _configure(self, config: Any) -> None:
        for item in config.update:
            name = _name(item)
            if not name.startswith("_"):
                value = _value(item)
                is_plain = value is None or isinstance(value, str | float | int)
                self._settings[name] = value if is_plain else json.dumps(value)

    def _add(self, history: Any) -> None:
        row = {_name(item): _value(item) for item in history.item}
        for name, value in row.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and not name.startswith("_") and name not in self._axes.values():
                at = row.get(self._axis(name))
                is_step = isinstance(at, int) or (isinstance(at, float) and at.is_integer())
                step = int(at or 0) if is_step else history.step.num
                self._curves.setdefault(name, {})[step] = float(value)

    def _axis(self, name: str) -> str:
        """Return the value that W&B's charts show a metric over; empty: its own step."""
        if name in self._axes:
            return self._axes[name]
        return next((axis for glob, axis in self._axes.items() if fnmatchcase(name, glob)), "")


def _name(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _value(item: Any) -> Any:
    try:
        return json.loads(item.value_json)
    except ValueError:
        return None


def _records(content: bytes) -> Iterator[bytes]:
    at, parts = _HEADER, b""
    while True:
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:  # the rest of a block is padding
            at += left
            continue
        if at + _HEADER > len(content):
            return
        _, length, kind = struct.unpack_from("<IHB", content, at)
        data = content[at + _HEADER : at + _HEADER + length]
        if len(data) < length or kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST):
            return
        at += _HEADER + length
        parts = data if kind in (_WHOLE, _FIRST) else parts + data
        if kind in (_WHOLE, _LAST):
            yield parts
