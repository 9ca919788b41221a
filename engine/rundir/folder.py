"""The run folder: its paths, and reading and writing of its files.

The folder is the only interface between a run and other programs::

    spec.json         the specification               written once when the run is created
    combination.json  the networks to combine         combination runs only
    user.json         name, tags, note, trashed_at    written by the interface
    events.jsonl      the event log                   appended by the engine
    predictions.json  predictions at the selected step  written by the engine
    predictions-ARM.json  the same of another arm       written by the engine
    predictions.bin   predictions of every evaluation   appended by the engine
    calibration.json  temperatures and OOD thresholds   written by the engine on first use
    evaluations/      results on other data, NAME.json  written by the interface
    diagnoses/        suspects.json                     written by the interface
                      results of diagnostics, NAME.json  written by the engine
    checkpoints/      last.safetensors, best.safetensors
    abstention.safetensors  the class "abstain" at the selected step  runs with outliers only
    engine.log        the engine's stderr and stdout
    process.json      pid, start time, host           written at each start
    heartbeat         mtime: the last sign of life    touched by the engine
    exit.json         exit code                       written by the launcher
    job.json          the cluster job                 written on submission
    stop.json         request to save and stop        written from any host
    killed.json       who killed the process          written just before, from any host
    .notified-*       sent notifications              homes shared by machines only
    synced            mtime: time of the last sync    copies of remote runs only
    labelled          user.json was changed here      copies of remote runs only
    engine.lock       held by the engine while it runs
    writer.lock       held by the first of several ranks while it runs
    ranks/            files shared by the ranks       exists during training
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
import psutil

from engine.machine.disk import read_plain, sync_folder, touch_plain, write_atomic
from engine.protocol import (
    MOST_PREDICTION_BYTES,
    Combination,
    CombinationError,
    CombinationSpec,
    Predictions,
    PredictionsError,
    RunSpec,
    RunTask,
    SpecError,
    decode_combination,
    decode_predictions,
    decode_spec,
    encode_combination,
    encode_predictions,
    encode_spec,
    spec_of,
    task_of,
)
from engine.protocol.data_evaluations import (
    MOST_EVALUATION_BYTES,
    DataEvaluation,
    DataEvaluationError,
    decode_data_evaluation,
    encode_data_evaluation,
)
from engine.protocol.diagnostics import (
    DIAGNOSTICS,
    MOST_DIAGNOSIS_BYTES,
    Diagnosis,
    DiagnosisError,
    decode_diagnosis,
)
from engine.protocol.inference import Calibration
from engine.rundir.process import ExitInfo, JobInfo, KillRecord, ProcessInfo, StopRecord

if TYPE_CHECKING:  # not needed for the first frame of the dashboard
    from engine.protocol.suspects import Suspects

CHECKPOINT_PATTERN = "*.safetensors"
SAFETENSORS_TEMPORARY = ".tmp??????"
"""Pattern of safetensors' own temporary files in the folder of checkpoints."""
_WRITTEN_BY_THEN_S = 60.0
"""Age at which a temporary file is no longer being written."""


class UserData(msgspec.Struct, frozen=True):
    """The user's labels of a run, stored in its folder so that the database can be rebuilt."""

    name: str | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    created_at: float = 0.0
    trashed_at: float | None = None


@dataclass(frozen=True)
class StoredEvaluations:
    """Results of a run on other data, oldest first; ``damaged`` maps names to reasons."""

    found: tuple[DataEvaluation, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredDiagnoses:
    """Results of a run's diagnostics by name; ``damaged`` maps names to reasons."""

    found: Mapping[str, Diagnosis] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunDir:
    """Paths of one run folder."""

    path: Path

    @property
    def run_id(self) -> str:
        """Return the run's id, the folder's name."""
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
        """Return the path of the cluster job's description."""
        return self.path / "job.json"

    @property
    def stop(self) -> Path:
        """Return the path of the request to save and stop; it must be deleted before a resume."""
        return self.path / "stop.json"

    @property
    def killed(self) -> Path:
        """Return the path of the record of who killed the process."""
        return self.path / "killed.json"

    @property
    def synced(self) -> Path:
        """Return the path of the file whose mtime is the time of the last sync."""
        return self.path / "synced"

    @property
    def is_copy(self) -> bool:
        """Return whether this folder is a read-only copy of a run on another machine."""
        return os.path.exists(self.synced)  # False if the folder is not accessible

    @property
    def labelled(self) -> Path:
        """Return the path of the file that marks a copy whose user.json was changed here."""
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
        """Return the path of the lock that the engine holds while it runs."""
        return self.path / "engine.lock"

    @property
    def ranks(self) -> Path:
        """Return the folder of files shared by the ranks of an attempt."""
        return self.path / "ranks"

    @property
    def writer_lock(self) -> Path:
        """Return the path of the lock of the first of several ranks."""
        return self.path / "writer.lock"

    @property
    def combination(self) -> Path:
        """Return the path of the networks to combine."""
        return self.path / "combination.json"

    @property
    def predictions(self) -> Path:
        """Return the path of the predictions at the selected step."""
        return self.path / "predictions.json"

    def predictions_of(self, arm: str | None) -> Path:
        """Return the path of the predictions of an additional arm at its selected step.

        None: those of the run's own network.
        """
        return self.predictions if arm is None else self.path / f"predictions-{arm}.json"

    @property
    def step_predictions(self) -> Path:
        """Return the path of the predictions of every evaluation."""
        return self.path / "predictions.bin"

    @property
    def calibration(self) -> Path:
        """Return the path of the calibrations of the run's networks."""
        return self.path / "calibration.json"

    @property
    def evaluations(self) -> Path:
        """Return the folder of results on other data."""
        return self.path / "evaluations"

    @property
    def diagnoses(self) -> Path:
        """Return the folder of results of diagnostics."""
        return self.path / "diagnoses"

    @property
    def suspects(self) -> Path:
        """Return the path of the training images whose label may be wrong."""
        return self.diagnoses / "suspects.json"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """Return the path of the checkpoint to resume from."""
        return self.checkpoints / "last.safetensors"

    @property
    def best_checkpoint(self) -> Path:
        """Return the path of the network at the selected step."""
        return self.checkpoints / "best.safetensors"

    @property
    def abstention(self) -> Path:
        """Return the path of the row of the class "abstain" at the selected step."""
        return self.path / "abstention.safetensors"

    @property
    def cache(self) -> Path:
        """Return the folder of caches, shared by all runs of a home."""
        return self.path.parent.parent / "cache"

    def create(self, task: RunTask, user: UserData) -> None:
        """Create the folder with the run's task and user data.

        Raises:
            FileExistsError: if the folder exists.
            OSError: if it cannot be written.
        """
        self.path.mkdir(parents=True)
        sync_folder(self.path.parent)
        write_atomic(self.user, msgspec.json.encode(user))
        if isinstance(task, CombinationSpec):
            write_atomic(self.combination, encode_combination(task.combination))
        write_atomic(self.spec, encode_spec(spec_of(task)))

    def read_task(self) -> RunTask:
        """Return what the run does: train a network, or combine the networks of other runs.

        Raises:
            SpecError: if a file is missing or damaged; names it.
        """
        return task_of(self.read_spec(), self.read_combination())

    def read_combination(self) -> Combination | None:
        """Return the combination, or None if the run trains a network.

        Raises:
            SpecError: if it is damaged; names the file.
        """
        try:
            return decode_combination(read_plain(self.combination))
        except FileNotFoundError:
            return None
        except (OSError, CombinationError) as error:
            raise SpecError(f"{self.combination}: {_text_of(error)}") from None

    def delete_incomplete_files(self) -> None:
        """Delete incomplete files of killed processes; requires the run's lock.

        Raises:
            OSError: if they cannot be deleted.
        """
        patterns = (".*.json.*.tmp", f".{self.step_predictions.name}.*.tmp")
        of_run = [path for pattern in patterns for path in self.path.glob(pattern)]
        for path in (*self.checkpoints.glob(".*.tmp"), *of_run):
            if not _may_be_written(path):
                path.unlink(missing_ok=True)
        for path in self.checkpoints.glob(SAFETENSORS_TEMPORARY):
            path.unlink(missing_ok=True)
        for folder in (self.evaluations, self.diagnoses):
            _delete_incomplete_results(folder)

    def spare_checkpoints(self, keep: Literal["all", "best", "none"]) -> list[Path]:
        """Return the existing checkpoints that a finished run does not keep.

        The class "abstain" is of no use without the network of the selected step.
        """
        if keep == "none":
            abstention = [self.abstention] if self.abstention.exists() else []
            return [*sorted(self.checkpoints.glob(CHECKPOINT_PATTERN)), *abstention]
        return [self.last_checkpoint] if keep == "best" and self.last_checkpoint.exists() else []

    def read_spec(self) -> RunSpec:
        """Read the specification.

        Raises:
            SpecError: if it is missing or damaged; names the file.
        """
        try:
            return decode_spec(read_plain(self.spec))
        except (OSError, SpecError) as error:
            raise SpecError(f"{self.spec}: {_text_of(error)}") from None

    def read_process(self) -> ProcessInfo | None:
        """Return the last process of the run, if recorded."""
        return _read(self.process, ProcessInfo)

    def write_process(self, pid: int) -> None:
        """Record the run's current process."""
        write_atomic(self.process, msgspec.json.encode(ProcessInfo.of(pid)))

    def read_user(self) -> UserData:
        """Return name, tags and note; empty if missing or damaged."""
        return _read(self.user, UserData) or UserData()

    def write_user(self, user: UserData) -> None:
        """Replace name, tags and note; a copy keeps them at the next sync."""
        if self.is_copy:
            touch_plain(self.labelled)
        write_atomic(self.user, msgspec.json.encode(user))

    def read_predictions(self, arm: str | None = None) -> Predictions | None:
        """Return the predictions at the selected step, or None if there are none yet.

        ``arm``: of an additional arm, at its own selected step.

        Raises:
            PredictionsError: if the file cannot be read or is invalid.
        """
        try:
            data = read_plain(self.predictions_of(arm), MOST_PREDICTION_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PredictionsError(_text_of(error)) from None
        return decode_predictions(data)

    def write_predictions(self, predictions: Predictions, arm: str | None = None) -> None:
        """Replace the predictions at the selected step, ``arm``: of an additional arm.

        Raises:
            OSError: if they cannot be written; the old file is then unchanged.
        """
        write_atomic(self.predictions_of(arm), encode_predictions(predictions))

    def read_calibrations(self) -> dict[str, Calibration]:
        """Return the calibrations by arm and step, as ``dropout/best``; empty if damaged."""
        try:
            return msgspec.json.decode(read_plain(self.calibration), type=dict[str, Calibration])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}

    def write_calibration(self, key: str, calibration: Calibration) -> None:
        """Add or replace the calibration of an arm and step.

        Raises:
            OSError: if it cannot be written.
        """
        every = {**self.read_calibrations(), key: calibration}
        write_atomic(self.calibration, msgspec.json.format(msgspec.json.encode(every)) + b"\n")

    def evaluation_files(self) -> list[Path]:
        """Return the files of results on other data."""
        return sorted(self.evaluations.glob("[!.]*.json"))

    def read_evaluations(self) -> StoredEvaluations:
        """Return the results on other data, oldest first."""
        found, damaged = [], {}
        for path in self.evaluation_files():
            try:
                evaluation = decode_data_evaluation(read_plain(path, MOST_EVALUATION_BYTES))
                found.append(msgspec.structs.replace(evaluation, name=path.stem))
            except (OSError, DataEvaluationError) as error:
                damaged[path.stem] = _text_of(error)
        found.sort(key=lambda each: each.evaluated_at)
        return StoredEvaluations(tuple(found), damaged)

    def write_evaluation(self, evaluation: DataEvaluation) -> Path:
        """Add or replace the result on other data of its name, and return the file.

        Raises:
            OSError: if it cannot be written; an old file is then unchanged.
        """
        self.evaluations.mkdir(exist_ok=True)
        _delete_incomplete_results(self.evaluations)
        path = self.evaluations / f"{evaluation.name}.json"
        write_atomic(path, encode_data_evaluation(evaluation))
        return path

    def delete_evaluation(self, name: str) -> None:
        """Delete the result on other data of this name.

        Raises:
            OSError: if it cannot be deleted, or does not exist.
        """
        (self.evaluations / f"{name}.json").unlink()
        sync_folder(self.evaluations)

    def diagnosis_files(self) -> list[Path]:
        """Return the files of results of diagnostics, in the order in which they are shown."""
        found = {path.stem: path for path in self.diagnoses.glob("[!.]*.json")}
        return [found[name] for name in DIAGNOSTICS if name in found]

    def read_diagnoses(self) -> StoredDiagnoses:
        """Return the results of diagnostics, in the order in which they are shown."""
        found, damaged = {}, {}
        for path in self.diagnosis_files():
            try:
                found[path.stem] = decode_diagnosis(read_plain(path, MOST_DIAGNOSIS_BYTES))
            except (OSError, DiagnosisError) as error:
                damaged[path.stem] = _text_of(error)
        return StoredDiagnoses(found, damaged)

    def write_diagnosis(self, diagnosis: Diagnosis) -> Path:
        """Add or replace the result of a diagnostic, and return the file.

        Raises:
            OSError: if it cannot be written; an old file is then unchanged.
        """
        self.diagnoses.mkdir(exist_ok=True)
        _delete_incomplete_results(self.diagnoses)
        path = self.diagnoses / f"{diagnosis.diagnostic}.json"
        write_atomic(path, msgspec.json.encode(diagnosis))
        return path

    def read_suspects(self) -> Suspects | None:
        """Return the training images whose label may be wrong, or None if not searched for.

        Raises:
            SuspectsError: if the file cannot be read or is invalid; names it.
        """
        from engine.protocol.suspects import MOST_SUSPECTS_BYTES, SuspectsError, decode_suspects

        try:
            return decode_suspects(read_plain(self.suspects, MOST_SUSPECTS_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, SuspectsError) as error:
            raise SuspectsError(f"{self.suspects} is damaged ({_text_of(error)}).") from None

    def write_suspects(self, suspects: Suspects) -> Path:
        """Replace the training images whose label may be wrong, and return the file.

        Raises:
            OSError: if it cannot be written; an old file is then unchanged.
        """
        from engine.protocol.suspects import encode_suspects

        self.suspects.parent.mkdir(exist_ok=True)
        _delete_incomplete_results(self.suspects.parent)
        write_atomic(self.suspects, encode_suspects(suspects))
        return self.suspects

    def read_job(self) -> JobInfo | None:
        """Return the run's last cluster job, if any."""
        return _read(self.job, JobInfo)

    def write_job(self, job: JobInfo) -> None:
        """Record the run's cluster job.

        Raises:
            OSError: if it cannot be written.
        """
        write_atomic(self.job, msgspec.json.encode(job))

    def read_stop(self) -> StopRecord | None:
        """Return the request to save and stop, if there is one."""
        return _read(self.stop, StopRecord)

    def ask_to_stop(self, reason: str) -> None:
        """Ask the run, on any host, to save and stop.

        Raises:
            OSError: if the request cannot be written.
        """
        write_atomic(self.stop, msgspec.json.encode(StopRecord(reason)))

    def read_kill(self) -> KillRecord | None:
        """Return the last record of a user killing a process of the run, if any."""
        return _read(self.killed, KillRecord)

    def record_kill(self, by: str) -> None:
        """Record who is about to kill the run's process.

        Raises:
            OSError: if it cannot be written.
        """
        process = self.read_process()
        if process is not None:
            asked = KillRecord(by, process.pid, process.birth)
            write_atomic(self.killed, msgspec.json.encode(asked))

    def cancel_stop(self) -> None:
        """Delete a request to stop, before a resume.

        Raises:
            OSError: if it cannot be deleted.
        """
        self.stop.unlink(missing_ok=True)

    def mark_synced(self) -> None:
        """Record that this copy is up to date.

        Raises:
            OSError: if it cannot be recorded.
        """
        touch_plain(self.synced)

    def discard_labels(self) -> None:
        """Let the original's name, tags and note replace this copy's at the next sync.

        Raises:
            OSError: if it cannot be recorded.
        """
        os.utime(self.user, (0, 0))  # older than the original's
        self.labelled.unlink()

    def read_exit(self) -> ExitInfo | None:
        """Return how the last process ended, if its launcher recorded it."""
        return _read(self.exit, ExitInfo)

    def write_exit(self, info: ExitInfo) -> None:
        """Record how the last process ended."""
        write_atomic(self.exit, msgspec.json.encode(info))


def _text_of(error: Exception) -> str:
    """Return an error's text without the file name."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _delete_incomplete_results(folder: Path) -> None:
    """Delete incomplete files of killed processes from a folder of results of a finished run."""
    for path in folder.glob(".*.json.*.tmp"):
        with contextlib.suppress(OSError):  # another process may have deleted it
            if not _may_be_written(path, by_anyone=True):
                path.unlink(missing_ok=True)


def _may_be_written(temporary: Path, *, by_anyone: bool = False) -> bool:
    """Return whether another process may still be writing a temporary file.

    ``by_anyone``: it may be one of another host.
    """
    pid = temporary.name.split(".")[-2].partition("-")[0]
    if pid.isdecimal() and int(pid) != os.getpid() and _is_alive(int(pid)):
        return True
    by_anyone = by_anyone or temporary.name.startswith(".user.json.")
    return by_anyone and time.time() - temporary.stat().st_mtime < _WRITTEN_BY_THEN_S


def _is_alive(pid: int) -> bool:
    """Return whether a process is running; zombies are not."""
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
