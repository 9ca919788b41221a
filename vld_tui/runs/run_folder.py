"""Read a run folder: new events incrementally, other contents only when a file changes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from engine.protocol import Event, EventDecodeError, Predictions, PredictionsError, decode_event
from engine.rundir import RunDir, StoredDiagnoses, StoredEvaluations, plain_file

if TYPE_CHECKING:  # of an opened run: not needed for the first frame
    from engine.rundir.step_predictions import StepPredictionsFile

BATCH_BYTES: Final = 2**22
"""Bytes read at once from a long log: a fraction of a second, and 100 MB of event objects."""
MOST_LOG_BYTES: Final = 2**20
MOST_FILES: Final = 500
BLOCK_BYTES: Final = 2**16
"""Bytes read at once from the end of a log."""
Signature = tuple[int, int, int] | None
"""Inode, size and modification time (ns) of a file, or None if missing."""


@dataclass(frozen=True)
class EventBatch:
    """Events read at once, and where the next read starts.

    ``offset`` counts bytes. ``damaged_lines`` are complete lines that are not valid events.
    ``restarted``: the file had become shorter, so it was read from its start.
    ``following`` is the first event after the batch, which the next read returns, if any.
    """

    events: tuple[Event, ...]
    offset: int
    damaged_lines: int
    restarted: bool
    following: Event | None = None
    is_last: bool = True


def folder_bytes(folder: Path) -> int:
    """Return the total size of the files in a folder; unreadable ones are skipped."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def read_events(path: Path, offset: int, *, most_bytes: int | None = None) -> EventBatch:
    """Read the complete lines after ``offset`` bytes, without an unterminated last line.

    With ``most_bytes``, about that many are read, but at least one line; more follow unless the
    batch ``is_last``. A missing file has no events.

    Raises:
        OSError: when the file exists but cannot be read.
    """
    try:
        with open(path, "rb", opener=plain_file) as file:
            restarted = os.fstat(file.fileno()).st_size < offset
            start = 0 if restarted else offset
            file.seek(start)
            content, next_line = _read_lines(file, most_bytes)
    except FileNotFoundError:
        content, next_line, start, restarted = b"", b"", offset, False
    events: list[Event] = []
    damaged_lines = 0
    for line in content.split(b"\n"):
        if not line:
            continue
        try:
            events.append(decode_event(line))
        except EventDecodeError:
            damaged_lines += 1
    return EventBatch(
        tuple(events),
        start + len(content),
        damaged_lines,
        restarted,
        following=_decoded(next_line),
        is_last=not next_line,
    )


def _read_lines(file: IO[bytes], most_bytes: int | None) -> tuple[bytes, bytes]:
    """Return whole lines from here, and the whole line after them, if any."""
    content = file.read(-1 if most_bytes is None else most_bytes)
    is_all = most_bytes is None or len(content) < most_bytes
    if not is_all and b"\n" not in content:  # one longer line
        content += file.readline()
    whole = content.rfind(b"\n") + 1
    next_line = b"" if is_all else content[whole:] + file.readline()
    return content[:whole], next_line if next_line.endswith(b"\n") else b""


def _decoded(line: bytes) -> Event | None:
    try:
        return decode_event(line)
    except EventDecodeError:
        return None


class EventFollower:
    """A run's events, each returned once; ``offset``: start at this byte of the log."""

    def __init__(self, run_dir: RunDir, offset: int = 0) -> None:
        self._path = run_dir.events
        self._offset = offset

    def poll(self) -> list[Event]:
        """Return the events since the last poll, oldest first.

        Raises:
            OSError: when the event log cannot be read.
        """
        return list(self.news())

    def news(self) -> Iterator[Event]:
        """Yield all events since the last call, oldest first.

        Raises:
            OSError: when the event log cannot be read.
        """
        is_last = False
        while not is_last:
            batch = read_events(self._path, self._offset, most_bytes=BATCH_BYTES)
            self._offset, is_last = batch.offset, batch.is_last
            yield from batch.events


@dataclass(frozen=True)
class RunFile:
    """A file's path in the run folder, and its size."""

    name: str
    bytes: int


@dataclass(frozen=True)
class FolderContents:
    """The end of the log, the files, results on other data, and predictions or why there are none.

    ``step_predictions`` are those of every evaluation, not read yet. ``log_is_cut``: the file has
    earlier lines. ``suspended_pid``: see :func:`suspended_pid`.
    ``stop_asked``: where the request to stop came from, if any.
    """

    log: tuple[str, ...] = ()
    log_is_cut: bool = False
    files: tuple[RunFile, ...] = ()
    predictions: Predictions | None = None
    predictions_problem: str | None = None
    step_predictions: StepPredictionsFile | None = None
    evaluations: StoredEvaluations = field(default_factory=StoredEvaluations)
    diagnoses: StoredDiagnoses = field(default_factory=StoredDiagnoses)
    suspended_pid: int | None = None
    stop_asked: str | None = None


class FolderReader:
    """Rereads a run folder; blocks, so use it in a worker."""

    def __init__(self, run_dir: RunDir) -> None:
        self.run_dir = run_dir
        self._contents = FolderContents()
        self._signatures: dict[str, object] = {}

    def read(self) -> FolderContents:
        """Return the folder's contents: the same object while nothing changed."""
        run_dir = self.run_dir
        if self._has_changed("log", _signature(run_dir.log)):
            lines, is_cut = read_log(run_dir.log, MOST_LOG_BYTES)
            self._contents = replace(self._contents, log=lines, log_is_cut=is_cut)
        if self._has_changed("predictions", _signature(run_dir.predictions)):
            predictions, problem = _read_predictions(run_dir)
            self._contents = replace(
                self._contents, predictions=predictions, predictions_problem=problem
            )
        if self._has_changed("step_predictions", _signature(run_dir.step_predictions)):
            from engine.rundir.step_predictions import StepPredictionsFile

            stored = StepPredictionsFile.open(run_dir.step_predictions)
            self._contents = replace(self._contents, step_predictions=stored)
        if self._has_changed("evaluations", _signatures(run_dir.evaluation_files())):
            self._contents = replace(self._contents, evaluations=run_dir.read_evaluations())
        if self._has_changed("diagnoses", _signatures(run_dir.diagnosis_files())):
            self._contents = replace(self._contents, diagnoses=run_dir.read_diagnoses())
        files = tuple(_list_files(self.run_dir.path))
        if files != self._contents.files:
            self._contents = replace(self._contents, files=files)
        if (pid := suspended_pid(self.run_dir)) != self._contents.suspended_pid:
            self._contents = replace(self._contents, suspended_pid=pid)
        if (asked := stop_asked(self.run_dir)) != self._contents.stop_asked:
            self._contents = replace(self._contents, stop_asked=asked)
        return self._contents

    def _has_changed(self, part: str, signature: object) -> bool:
        """Remember the signature of a part; return whether it is another one than before."""
        before, self._signatures[part] = self._signatures.get(part), signature
        return signature != before


def suspended_pid(run_dir: RunDir) -> int | None:
    """Return the pid of the run's process on this host if it is suspended."""
    process = run_dir.read_process()
    return process.pid if process is not None and process.is_suspended() else None


def stop_asked(run_dir: RunDir) -> str | None:
    """Return where a request to stop through the run's folder came from, if any."""
    stop = run_dir.read_stop()
    return None if stop is None else stop.reason


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _signatures(paths: Iterable[Path]) -> dict[str, Signature] | None:
    """Return the signatures of files by name; None if there are none."""
    return {each.name: _signature(each) for each in paths} or None


def read_log(path: Path, most_bytes: int) -> tuple[tuple[str, ...], bool]:
    """Return the last whole lines of a log, and whether it has earlier ones."""
    try:
        with open(path, "rb", opener=plain_file) as file:
            start = max(0, file.seek(0, os.SEEK_END) - most_bytes)
            file.seek(start)
            data = file.read(most_bytes)
    except OSError:
        return (), False
    lines = data.decode(errors="replace").splitlines()
    return tuple(lines[1:] if start and len(lines) > 1 else lines), start > 0


def start_of_last_lines(path: Path, count: int) -> int:
    """Return the byte offset of the last ``count`` lines of a file, reading from its end.

    Raises:
        OSError: when it cannot be read.
    """
    with open(path, "rb", opener=plain_file) as file:
        end = file.seek(0, os.SEEK_END)
        wanted = count  # line feeds that end earlier lines
        start = end
        while start > 0:
            block_end, start = start, max(0, start - BLOCK_BYTES)
            file.seek(start)
            block = file.read(block_end - start)
            at = len(block) - 1 if block_end == end and block.endswith(b"\n") else len(block)
            while (at := block.rfind(b"\n", 0, at)) >= 0:
                wanted -= 1
                if wanted <= 0:
                    return start + at + 1 if count else end
        return 0 if count else end


def _read_predictions(run_dir: RunDir) -> tuple[Predictions | None, str | None]:
    try:
        return run_dir.read_predictions(), None
    except PredictionsError as error:
        return None, str(error)


def _list_files(folder: Path) -> Iterator[RunFile]:
    """Yield the files of a folder and its subfolders, sorted by name.

    Vanished files and temporary files that are being written are skipped.
    """
    left = MOST_FILES
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            is_temporary = name.startswith(".tmp") or (
                name.startswith(".") and name.endswith(".tmp")
            )
            if left and not is_temporary:
                path = Path(parent, name)
                if (found := _signature(path)) is not None:
                    left -= 1
                    yield RunFile(path.relative_to(folder).as_posix(), found[1])
