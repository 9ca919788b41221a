"""Weights & Biases: a server, or offline files for ``wandb sync``.

A run keeps its id, and W&B's own step of a row is the number of its event, which only increases, so
that the last one shows what has arrived. Charts use the training step.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import wandb
from wandb.errors import Error

from engine.rundir import write_atomic
from vld_tui.home import absolute_path
from vld_tui.trackers.tracker import PROJECT, Destination, Known, Row, TrackedRun, TrackerError
from vld_tui.trackers.wandb_files import read_records, read_runs

__all__ = ["open_tracker", "read_runs"]

STEP: Final = "step"
_OFFLINE: Final = ("offline", "dryrun")
_PUSHED: Final = "vld-pushed.json"
"""What has been written offline, next to the files: these may be deleted after their upload."""
_LONGEST_TAG: Final = 64
_PATIENCE_S: Final = 30.0
_ADVICE: Final = (
    "What arrived is kept; the same command pushes the rest. Without a network: --offline"
)


class Pushed(msgspec.Struct, frozen=True):
    """The last event of a run that was written offline, and a digest of its description."""

    seq: int = -1
    described: str = ""


def open_tracker(destination: Destination) -> Wandb:
    """Return a project, after a check of the login if it is online."""
    mode = "offline" if destination.offline else wandb.setup().settings.mode
    if mode == "disabled":
        raise TrackerError("W&B is disabled. Unset WANDB_MODE, or use --offline.")
    is_offline = mode in _OFFLINE
    if not is_offline:
        with _reported():
            is_known = wandb.login(prompt=False, verify=True)
        if not is_known:
            raise TrackerError(
                "W&B needs an API key: run wandb login, or set WANDB_API_KEY.\n"
                "To write files and upload them later, use --offline."
            )
    return Wandb(destination, is_offline=is_offline)


class Wandb:
    """A project, on the server or in offline files."""

    def __init__(self, destination: Destination, *, is_offline: bool) -> None:
        entity, _, project = (destination.project or "").rpartition("/")
        self.entity = entity or None
        self.project = project or os.environ.get("WANDB_PROJECT") or PROJECT
        self.folder = absolute_path(destination.dir or os.environ.get("WANDB_DIR") or Path())
        self.is_offline = is_offline

    @property
    def files(self) -> Path:
        """Return the folder that W&B makes for the files of its runs."""
        return self.folder / "wandb"

    @property
    def view(self) -> tuple[str, str] | None:
        """Return the command that uploads offline files."""
        if not self.is_offline:
            return None
        return f"wandb sync {shlex.quote(str(self.files))}/offline-run-*", "upload them"

    def begin(self, run: TrackedRun) -> OfflineRun | OnlineRun:
        """Find a run by its id, or begin it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return OfflineRun(self, run) if self.is_offline else OnlineRun(self, run)
        except OSError as error:
            raise TrackerError(
                f"Cannot write to {self.folder}: {error.strerror}. Use --dir DIR."
            ) from None

    def start(self, run: TrackedRun) -> Any:
        """Return W&B's own object for a run."""
        with _reported():
            started = wandb.init(
                entity=self.entity,
                project=self.project,
                id=run.run_id,
                name=run.name,
                group=run.group,
                dir=str(self.folder),
                config=dict(run.settings),
                mode="offline" if self.is_offline else "online",
                resume=None if self.is_offline else "allow",
                reinit="create_new",
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    init_timeout=_PATIENCE_S,
                    disable_git=True,
                    disable_code=True,
                    disable_job_creation=True,
                    x_disable_stats=True,
                    x_disable_meta=True,
                    x_disable_machine_info=True,
                    x_save_requirements=False,
                ),
            )
            started.define_metric(STEP, hidden=True)
            started.define_metric("*", step_metric=STEP)
        return started


class OnlineRun:
    """A run of the server."""

    def __init__(self, tracker: Wandb, run: TrackedRun) -> None:
        self._run = run
        self._open = tracker.start(run)
        self._known = Known(seq=self._open.starting_step - 1)

    @property
    def known(self) -> Known:
        """Return the last event that the server has."""
        return self._known

    @property
    def place(self) -> str:
        """Return the run's address."""
        return str(self._open.url)

    def log(self, rows: Sequence[Row]) -> None:
        """Send the rows."""
        _log(self._open, rows)

    def describe(self, run: TrackedRun) -> None:
        """Set the description and the results."""
        self._run = run
        _describe(self._open, run)

    def close(self) -> None:
        """Wait until everything has arrived."""
        _finish(self._open, self._run)


class OfflineRun:
    """A run in offline files: a new folder each time that something is added."""

    def __init__(self, tracker: Wandb, run: TrackedRun) -> None:
        self._tracker, self._run = tracker, run
        self._memory = tracker.files / _PUSHED
        self._key = f"{tracker.entity or ''}/{tracker.project}/{run.run_id}"
        remembered = self._remembered().get(self._key, Pushed())
        seq = max([remembered.seq, *self._written()])
        self._pushed = Pushed(seq, remembered.described)
        self._known = Known(seq=seq)
        self._open: Any = None

    @property
    def known(self) -> Known:
        """Return the last event that is in the files, or was in files that were uploaded."""
        return self._known

    @property
    def place(self) -> str:
        """Return the folder of the files."""
        return str(self._tracker.files)

    def log(self, rows: Sequence[Row]) -> None:
        """Write the rows."""
        _log(self._opened(), rows)
        self._pushed = msgspec.structs.replace(self._pushed, seq=rows[-1].seq)

    def describe(self, run: TrackedRun) -> None:
        """Write the description and the results, if they have changed."""
        self._run = run
        digest = hashlib.sha256(msgspec.json.encode(run)).hexdigest()
        if digest != self._pushed.described:
            _describe(self._opened(), run)
            self._pushed = msgspec.structs.replace(self._pushed, described=digest)

    def close(self) -> None:
        """Complete the files, then remember what they contain."""
        if self._open is None:
            return
        _finish(self._open, self._run)
        self._open = None
        kept = self._remembered() | {self._key: self._pushed}
        write_atomic(self._memory, msgspec.json.encode(kept))

    def _opened(self) -> Any:
        if self._open is None:
            while self._folders(time.strftime("%Y%m%d_%H%M%S")):  # named by the second
                time.sleep(0.1)
            self._open = self._tracker.start(self._run)
        return self._open

    def _remembered(self) -> dict[str, Pushed]:
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(self._memory.read_bytes(), type=dict[str, Pushed])
        return {}

    def _folders(self, moment: str = "*") -> list[Path]:
        return sorted(self._tracker.files.glob(f"offline-run-{moment}-{self._run.run_id}"))

    def _written(self) -> Iterator[int]:
        """Yield the last event in each of the run's files of this project, even if its writer was
        killed."""
        for path in (each / f"run-{self._run.run_id}.wandb" for each in self._folders()):
            steps, project = [-1], None
            for record in read_records(path) if path.is_file() else ():
                if record.HasField("history"):
                    steps.append(record.history.step.num)
                elif record.HasField("run"):
                    project = record.run.project
            if project == self._tracker.project:
                yield steps[-1]


def _log(run: Any, rows: Sequence[Row]) -> None:
    with _reported():
        for row in rows:
            run.log({**row.values, STEP: row.step}, step=row.seq)


def _describe(run: Any, described: TrackedRun) -> None:
    with _reported():
        run.name = described.name
        run.notes = described.note
        run.tags = tuple(tag[:_LONGEST_TAG] for tag in described.tags)
        results = {} if described.selected is None else dict(described.selected.values)
        run.summary.update({"status": described.status, **results})


def _finish(run: Any, described: TrackedRun) -> None:
    with _reported():
        run.finish(exit_code=1 if described.has_failed else 0)


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except Error as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].removesuffix(".")
        raise TrackerError(f"W&B reports: {reason}.\n{_ADVICE}") from None
