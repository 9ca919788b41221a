"""TensorBoard: event files in a folder for each run.

What a run's files contain decides what is added. Each push writes one further file.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_ndarray

from vld_tui.home import absolute_path
from vld_tui.trackers.tracker import Destination, FoundRun, Known, Row, TrackedRun, TrackerError

FOLDER: Final = "runs"
"""The folder that TensorBoard's users usually give it."""
ABOUT: Final = "about"
"""The tag of a run's description."""
_FILES: Final = "events.out.tfevents.*"
_UNSAFE: Final = re.compile(r"[^\w.+=-]+")


def open_tracker(destination: Destination) -> TensorBoard:
    """Return the runs in a folder."""
    return TensorBoard(absolute_path(destination.dir or FOLDER))


class TensorBoard:
    """A folder of runs, in subfolders by study."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def view(self) -> tuple[str, str]:
        """Return the command that shows the folder."""
        return f"tensorboard --logdir {shlex.quote(str(self._folder))}", "show the runs"

    def begin(self, run: TrackedRun) -> RunFiles:
        """Find a run by the id at the end of its folder's name, which a later name does not
        change."""
        parent = self._folder / _safe(run.group) if run.group else self._folder
        found = sorted(parent.glob(f"*-{run.run_id}"))
        with _reported(parent):
            return RunFiles(found[0] if found else parent / f"{_safe(run.name)}-{run.run_id}", run)


class RunFiles:
    """The event files of one run."""

    def __init__(self, folder: Path, run: TrackedRun) -> None:
        self._folder, self._run = folder, run
        self._writer: EventFileWriter | None = None
        self._about: str | None = None
        self._has_settings = self._has_end = False
        self._steps: dict[str, int] = {}
        for event in read_events(folder):
            self._note(event)

    @property
    def known(self) -> Known:
        """Return the last step of each tag."""
        return Known(steps=self._steps)

    @property
    def place(self) -> str:
        """Return the folder."""
        return str(self._folder)

    def log(self, rows: Sequence[Row]) -> None:
        """Add the rows to this session's file."""
        for row in rows:
            values = [Summary.Value(tag=tag, simple_value=row.values[tag]) for tag in row.values]
            self._add(Event(wall_time=row.time, step=row.step, summary=Summary(value=values)))
            self._steps.update(dict.fromkeys(row.values, row.step))
        self._flush()

    def describe(self, run: TrackedRun) -> None:
        """Write settings once, and the description if it has changed."""
        if not self._has_settings:
            self._add(_settings_event(run))
            self._has_settings = True
        if (text := _about(run)) != self._about:
            self._add(_text_event(run, text))
            self._about = text
        chosen = run.selected
        if chosen is not None and self._steps.get("selected/step", -1) < chosen.step:
            self.log([chosen])
        if run.ended_at is not None and not self._has_end:
            self._add(_end_event(run, run.ended_at))
            self._has_end = True
        self._flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            with _reported(self._folder):
                self._writer.close()
            self._writer = None

    def _add(self, event: Event) -> None:
        with _reported(self._folder):
            if self._writer is None:
                self._writer = EventFileWriter(str(self._folder), filename_suffix=".vld")
            self._writer.add_event(event)

    def _flush(self) -> None:
        if self._writer is not None:
            with _reported(self._folder):
                self._writer.flush()

    def _note(self, event: Event) -> None:
        for value in event.summary.value:
            if value.tag == hparams.SESSION_START_INFO_TAG:
                self._has_settings = True
            elif value.tag == hparams.SESSION_END_INFO_TAG:
                self._has_end = True
            elif value.tag == ABOUT and value.tensor.string_val:
                self._about = value.tensor.string_val[0].decode()
            else:
                self._steps[value.tag] = max(event.step, self._steps.get(value.tag, -1))


def read_events(folder: Path) -> Iterator[Any]:
    """Yield the events of a folder's files, oldest file first; a torn end of a file is skipped."""
    for path in sorted(folder.glob(_FILES)):
        yield from EventFileLoader(str(path)).Load()


def read_runs(folder: Path) -> Iterator[FoundRun]:
    """Yield the runs below a folder: every folder with event files is one, as in TensorBoard.

    Raises:
        OSError, TrackerError: when files cannot be read.
    """
    for path in sorted({each.parent for each in folder.rglob(_FILES)}):
        name = path.relative_to(folder).as_posix()
        yield _found(path, folder.name if name == "." else name)


def _found(path: Path, name: str) -> FoundRun:
    plugins: dict[str, str] = {}
    curves: dict[str, dict[int, float]] = {}
    settings: dict[str, str | float | bool | None] = {}
    status = ""
    is_read = False
    for event in read_events(path):
        is_read = True
        for value in event.summary.value:
            plugin = value.metadata.plugin_data
            kind = plugins.setdefault(value.tag, plugin.plugin_name)  # only the first one has it
            if kind == "scalars":
                number = float(make_ndarray(value.tensor).item())
                curves.setdefault(value.tag, {})[event.step] = number
            elif kind == hparams.PLUGIN_NAME:
                data = HParamsPluginData.FromString(plugin.content)
                for key, setting in data.session_start_info.hparams.items():
                    settings[key] = _setting(setting)
                if data.HasField("session_end_info"):
                    is_failed = data.session_end_info.status == STATUS_FAILURE
                    status = "failed" if is_failed else "finished"
    if not is_read and any(each.stat().st_size for each in path.glob(_FILES)):
        raise TrackerError(f"The event files in {path} are damaged. Move them away.")
    return FoundRun(str(path), name, curves, settings, status=status)


def _setting(value: Any) -> str | float | bool | None:
    """Return a hyper-parameter; TensorBoard stores all numbers as floats."""
    setting: str | float | bool | None = getattr(value, value.WhichOneof("kind") or "", None)
    return int(setting) if isinstance(setting, float) and setting.is_integer() else setting


def _safe(name: str) -> str:
    """Return a name for a folder."""
    return _UNSAFE.sub("-", name).strip(".-") or "run"


def _about(run: TrackedRun) -> str:
    """Return the description of a run, in Markdown."""
    rows = {
        "run": run.run_id,
        "name": run.name,
        "study": run.group or "",
        "status": run.status,
        "tags": ", ".join(run.tags),
    }
    lines = [f"- {label}: {value}" for label, value in rows.items() if value]
    return "\n".join([*lines, *(["", run.note] if run.note else [])])


def _text_event(run: TrackedRun, text: str) -> Event:
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[text.encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    value = Summary.Value(tag=ABOUT, tensor=tensor, metadata=SummaryMetadata(plugin_data=plugin))
    return Event(wall_time=run.ended_at or run.created_at, summary=Summary(value=[value]))


def _settings_event(run: TrackedRun) -> Event:
    begun = SessionStartInfo(start_time_secs=run.created_at, group_name=run.run_id)
    for name, setting in run.settings.items():
        if isinstance(setting, bool):
            begun.hparams[name].bool_value = setting
        elif isinstance(setting, int | float):
            begun.hparams[name].number_value = setting
        else:
            begun.hparams[name].string_value = "none" if setting is None else setting
    data = HParamsPluginData(version=hparams.PLUGIN_DATA_VERSION, session_start_info=begun)
    return _hparams_event(hparams.SESSION_START_INFO_TAG, data, run.created_at)


def _end_event(run: TrackedRun, ended_at: float) -> Event:
    status = STATUS_FAILURE if run.has_failed else STATUS_SUCCESS
    ended = SessionEndInfo(status=status, end_time_secs=ended_at)
    data = HParamsPluginData(version=hparams.PLUGIN_DATA_VERSION, session_end_info=ended)
    return _hparams_event(hparams.SESSION_END_INFO_TAG, data, ended_at)


def _hparams_event(tag: str, data: HParamsPluginData, moment: float) -> Event:
    plugin = SummaryMetadata.PluginData(
        plugin_name=hparams.PLUGIN_NAME, content=data.SerializeToString()
    )
    value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))
    return Event(wall_time=moment, summary=Summary(value=[value]))


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrackerError(
            f"Cannot write to {folder}: {error.strerror or error}. Use --dir DIR."
        ) from None
