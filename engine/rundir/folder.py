"""The run folder: every path in it, and how its files are written.

The folder is the whole contract between a run and the world::

    spec.json      what to do                       written once by whoever starts the run
    events.jsonl   what happened                    appended by the engine
    process.json   pid, its start time, host        written at each start
    heartbeat      its mtime says "alive"           touched by the engine
    exit.json      exit code, when somebody waited  written by the launcher
    job.json       a cluster's job                  written by whoever gave the run to it
    stop.json      asks to save and stop            written by whoever wants it, from any host
    killed.json    who ended the process at once    written just before, from any host
    combination.json  networks to combine           beside spec.json, where nothing is trained
    synced         its mtime says "as of"           of a copy of a folder elsewhere
    labelled       user.json was changed here       of a copy of a folder elsewhere
    user.json      name, tags, note, trashed_at     written by the interface
    engine.log     the engine's stderr and stdout
    engine.lock    held by the engine while it lives
    writer.lock    held by the one of several ranks that writes, while it lives
    ranks/         where the ranks of a run meet    there while they train
    predictions.json  what the selected network makes of held-out images
    checkpoints/   last.safetensors, best.safetensors
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import psutil

from engine.machine.disk import plain_file, read_plain, sync_folder, touch_plain, write_atomic
from engine.protocol import (
    MOST_PREDICTION_BYTES,
    Combination,
    CombinationError,
    Predictions,
    PredictionsError,
    RunSpec,
    SpecError,
    decode_combination,
    decode_predictions,
    decode_spec,
    encode_combination,
    encode_predictions,
    encode_spec,
)
from engine.rundir.process import ExitInfo, JobInfo, KillAsked, ProcessInfo, StopAsked

CHECKPOINT_PATTERN = "*.safetensors"
SAFETENSORS_TEMPORARY = ".tmp??????"
"""Names under which safetensors writes a file; only whoever holds the run writes checkpoints."""
"""Of the names in a run's folder of checkpoints."""
_WRITTEN_BY_THEN_S = 60.0
"""Age at which nobody is still writing a small file."""


class UserData(msgspec.Struct, frozen=True):
    """What a person said of a run; kept beside it so that history can be rebuilt."""

    name: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    created_at: float = 0.0
    trashed_at: float | None = None


@dataclass(frozen=True)
class RunDir:
    """Paths of one run folder."""

    path: Path

    @property
    def run_id(self) -> str:
        """Return the folder's name, which is the run's id."""
        return self.path.name

    @property
    def spec(self) -> Path:
        """Return the path of the specification."""
        return self.path / "spec.json"

    @property
    def events(self) -> Path:
        """Return the path of the event log."""
        return self.path / "events.jsonl"

    @property
    def process(self) -> Path:
        """Return the path of the process description."""
        return self.path / "process.json"

    @property
    def heartbeat(self) -> Path:
        """Return the path of the file whose mtime is the last sign of life."""
        return self.path / "heartbeat"

    @property
    def exit(self) -> Path:
        """Return the path of the exit code."""
        return self.path / "exit.json"

    @property
    def job(self) -> Path:
        """Return the path of the cluster's job that the run was given to."""
        return self.path / "job.json"

    @property
    def stop(self) -> Path:
        """Return the path of the request to save and stop; a run does not go on beside it."""
        return self.path / "stop.json"

    @property
    def killed(self) -> Path:
        """Return the path of the record of who ended the process at once."""
        return self.path / "killed.json"

    @property
    def synced(self) -> Path:
        """Return the path of the file whose mtime is when this copy of a folder was brought."""
        return self.path / "synced"

    @property
    def is_copy(self) -> bool:
        """Say whether the run is elsewhere and this folder a copy of its, to look at."""
        return os.path.exists(self.synced)  # False where the folder cannot be looked into

    @property
    def labelled(self) -> Path:
        """Return the path of the file that marks a copy whose name, tags or note were set here."""
        return self.path / "labelled"

    @property
    def user(self) -> Path:
        """Return the path of name, tags and note."""
        return self.path / "user.json"

    @property
    def log(self) -> Path:
        """Return the path of the engine's stderr and stdout."""
        return self.path / "engine.log"

    @property
    def lock(self) -> Path:
        """Return the path of the lock that the engine holds while it lives."""
        return self.path / "engine.lock"

    @property
    def ranks(self) -> Path:
        """Return the folder in which the processes of one attempt on several GPUs meet."""
        return self.path / "ranks"

    @property
    def writer_lock(self) -> Path:
        """Return the path of the lock of the rank that writes, where several train."""
        return self.path / "writer.lock"

    @property
    def combination(self) -> Path:
        """Return the path of what to combine, in the folder of a run that trains nothing."""
        return self.path / "combination.json"

    @property
    def predictions(self) -> Path:
        """Return the path of the predictions at the selected step."""
        return self.path / "predictions.json"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """Return the checkpoint a resumed run goes on from."""
        return self.checkpoints / "last.safetensors"

    @property
    def best_checkpoint(self) -> Path:
        """Return the network at the selected step."""
        return self.checkpoints / "best.safetensors"

    @property
    def cache(self) -> Path:
        """Return the folder, shared by all runs of a home, of what can be made again."""
        return self.path.parent.parent / "cache"

    def create(self, spec: RunSpec, user: UserData, combination: Combination | None = None) -> None:
        """Make the folder with its spec and user data, and with what to combine if anything.

        Raises:
            FileExistsError: when the folder exists.
            OSError: when it cannot be written.
        """
        self.path.mkdir(parents=True)
        sync_folder(self.path.parent)
        write_atomic(self.user, msgspec.json.encode(user))
        if combination is not None:
            write_atomic(self.combination, encode_combination(combination))
        write_atomic(self.spec, encode_spec(spec))

    def read_combination(self) -> Combination | None:
        """Return what to combine; None: the run trains a network.

        Raises:
            SpecError: when it is damaged, naming the file.
        """
        try:
            return decode_combination(read_plain(self.combination))
        except FileNotFoundError:
            return None
        except (OSError, CombinationError) as error:
            raise SpecError(f"{self.combination}: {_words_of(error)}") from None

    def drop_torn_files(self) -> None:
        """Delete what a process that was killed had begun to write; for whoever holds the run.

        Raises:
            OSError: when it cannot be deleted.
        """
        for path in (*self.checkpoints.glob(".*.tmp"), *self.path.glob(".*.json.*.tmp")):
            if not _may_be_written(path):
                path.unlink(missing_ok=True)
        for path in self.checkpoints.glob(SAFETENSORS_TEMPORARY):
            path.unlink(missing_ok=True)

    def spare_checkpoints(self, keep: Literal["all", "best", "none"]) -> list[Path]:
        """Return the checkpoints there are that a finished run is not to leave."""
        if keep == "none":
            return sorted(self.checkpoints.glob(CHECKPOINT_PATTERN))
        return [self.last_checkpoint] if keep == "best" and self.last_checkpoint.exists() else []

    def read_spec(self) -> RunSpec:
        """Read the specification.

        Raises:
            SpecError: when it is missing or damaged, naming the file.
        """
        try:
            return decode_spec(read_plain(self.spec))
        except (OSError, SpecError) as error:
            raise SpecError(f"{self.spec}: {_words_of(error)}") from None

    def read_process(self) -> ProcessInfo | None:
        """Return the last process that took the run up, if one is recorded."""
        return _read(self.process, ProcessInfo)

    def write_process(self, pid: int) -> None:
        """Record the process that takes the run up."""
        write_atomic(self.process, msgspec.json.encode(ProcessInfo.of(pid)))

    def read_user(self) -> UserData:
        """Return name, tags and note; empty when missing or damaged."""
        return _read(self.user, UserData) or UserData()

    def write_user(self, user: UserData) -> None:
        """Replace name, tags and note; a copy keeps them when more of the run is brought."""
        if self.is_copy:
            touch_plain(self.labelled)
        write_atomic(self.user, msgspec.json.encode(user))

    def read_predictions(self) -> Predictions | None:
        """Return the predictions at the selected step, if there are any yet.

        Raises:
            PredictionsError: when the file cannot be read or is not what the engine writes.
        """
        try:
            with open(self.predictions, "rb", opener=plain_file) as file:
                data = file.read(MOST_PREDICTION_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PredictionsError(error.strerror or str(error)) from None
        if len(data) > MOST_PREDICTION_BYTES:
            raise PredictionsError(f"it is larger than {MOST_PREDICTION_BYTES // 2**20} MiB")
        return decode_predictions(data)

    def write_predictions(self, predictions: Predictions) -> None:
        """Replace the predictions at the selected step.

        Raises:
            OSError: when they cannot be written; those before are then untouched.
        """
        write_atomic(self.predictions, encode_predictions(predictions))

    def read_job(self) -> JobInfo | None:
        """Return the cluster's job that the run was given to last, if it ever was."""
        return _read(self.job, JobInfo)

    def write_job(self, job: JobInfo) -> None:
        """Record the cluster's job that the run is given to.

        Raises:
            OSError: when it cannot be written.
        """
        write_atomic(self.job, msgspec.json.encode(job))

    def read_stop(self) -> StopAsked | None:
        """Return the request to save and stop, if there is one."""
        return _read(self.stop, StopAsked)

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run, on whatever host it is, to save and stop.

        Raises:
            OSError: when it cannot be written.
        """
        write_atomic(self.stop, msgspec.json.encode(StopAsked(reason)))

    def read_kill(self) -> KillAsked | None:
        """Return who had a process of the run ended at once, the last time that was so."""
        return _read(self.killed, KillAsked)

    def note_kill(self, by: str) -> None:
        """Record who is about to end the run's process at once.

        Raises:
            OSError: when it cannot be written.
        """
        process = self.read_process()
        if process is not None:
            asked = KillAsked(by, process.pid, process.birth)
            write_atomic(self.killed, msgspec.json.encode(asked))

    def let_go_on(self) -> None:
        """Take a request to stop back; for whoever has the run started again.

        Raises:
            OSError: when it cannot be deleted.
        """
        self.stop.unlink(missing_ok=True)

    def mark_synced(self) -> None:
        """Note that this copy of a folder is as the original is now.

        Raises:
            OSError: when that cannot be noted.
        """
        touch_plain(self.synced)

    def give_labels_up(self) -> None:
        """Let name, tags and note of this copy be replaced by those of the original.

        Raises:
            OSError: when that cannot be noted.
        """
        os.utime(self.user, (0, 0))  # older than any there
        self.labelled.unlink()

    def read_exit(self) -> ExitInfo | None:
        """Return how the last process ended, when somebody waited for it."""
        return _read(self.exit, ExitInfo)

    def write_exit(self, info: ExitInfo) -> None:
        """Record how the last process ended."""
        write_atomic(self.exit, msgspec.json.encode(info))


def _words_of(error: Exception) -> str:
    """Return what an error says beside the name of the file."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _may_be_written(temporary: Path) -> bool:
    """Say whether somebody may be writing a file that is to be renamed: here, or a moment ago."""
    pid = temporary.name.split(".")[-2].partition("-")[0]
    if pid.isdecimal() and int(pid) != os.getpid() and _is_alive(int(pid)):
        return True
    by_anyone = temporary.name.startswith(".user.json.")  # from another host as well
    return by_anyone and time.time() - temporary.stat().st_mtime < _WRITTEN_BY_THEN_S


def _is_alive(pid: int) -> bool:
    """Say whether a process runs; one that was killed and not yet collected does not."""
    try:
        return ProcessInfo.of(pid).is_alive() is not False
    except psutil.NoSuchProcess:
        return False


T = TypeVar("T", bound=msgspec.Struct)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(read_plain(path), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
