"""Plan and submit runs as job arrays, each exactly once (see :mod:`vld_tui.launch.slurm.jobs`)."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shlex
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.protocol import RunSpec
from vld_tui.home import Home
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.commands import SlurmAwayError, SlurmError, minutes_of, partitions_for
from vld_tui.launch.slurm.jobs import (
    EVER,
    YEAR_MIN,
    Batch,
    make_batch_folder,
    record_batch,
    require_submitit,
)
from vld_tui.launch.slurm.settings import (
    SlurmSettings,
    export_option,
    settings_as_values,
    variables_by_name,
    variables_with_values,
)
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

WARNING_S: Final = 120
"""How long before its time limit a job is signalled, so that runs can save."""
_USUAL_ARRAY: Final = 1001
"""Slurm's own MaxArraySize."""
_LOOK: Final = "sinfo --format='%P %l %c %m %G'"
"""Lists partitions with their time limit and their nodes' cores, memory (MiB) and GPUs."""
_FULL: Final = "the cluster's queue is full (MaxJobCount); sbatch retried for two minutes."
_SLOW_S: Final = 10.0
_EXPORT: Final = "SBATCH_EXPORT"


class Need(NamedTuple):
    """What runs require of a job: GPUs per machine, and machines."""

    gpus: int
    nodes: int

    @classmethod
    def of(cls, spec: RunSpec) -> Need:
        """Return the requirements of a run."""
        is_shared = spec.gpus > 1 and spec.device != "cpu"
        return cls(spec.gpus if is_shared else 1, spec.nodes)


USUAL_NEED: Final = Need(1, 1)
"""The need of a run on one GPU, or on as many as the settings give."""


class Submission(msgspec.Struct, frozen=True):
    """The result of a submission: ids of the submitted runs, their arrays, and why others were
    not submitted."""

    submitted: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def jobs(self) -> str:
        """Return the jobs' ids as text."""
        return f"job{'s' if len(self.arrays) > 1 else ''} {', '.join(self.arrays)}"

    @property
    def why_left(self) -> str:
        """Return how many runs were not submitted and why, in one line."""
        why = (self.refusal or "").partition("\n")[0]
        return f"{plural(len(self.left), 'run')} not submitted: {why}"

    def unless_refused(self) -> Submission:
        """Return the submission unless no run was submitted.

        Raises:
            SlurmError: with the reason.
        """
        if self.refusal and not self.submitted:
            raise SlurmError(f"Nothing was submitted: {self.refusal}")
        return self

    def __add__(self, other: Submission) -> Submission:
        """Return the combined result of both submissions."""
        return Submission(
            self.submitted + other.submitted,
            self.arrays + other.arrays,
            self.left + other.left,
            self.refusal or other.refusal,
        )


class Cluster:
    """The cluster that this machine submits to, and its limits."""

    def __init__(self, settings: SlurmSettings, on_slow: Callable[[], None] = lambda: None) -> None:
        """Query the cluster. ``on_slow`` is called when a submission takes long.

        Raises:
            SlurmError: when it is missing, does not answer, has no such partition, submitit
                is not installed, or a variable to pass on is not set; :class:`SlurmAwayError` for
                the first two.
        """
        commands.require_slurm()
        commands.refuse_other_clusters()
        commands.require_controller()
        require_submitit()
        self.settings = settings
        self._passed = variables_by_name(settings.env)
        self._on_slow = on_slow
        configured = commands.configuration().get("MaxArraySize", "")
        self.array_size = int(configured) if configured.isdecimal() else _USUAL_ARRAY
        self.partitions = partitions_for(settings.partition)
        self.minutes = self._minutes()

    def room(self) -> int | None:
        """Return how many more jobs this user may submit, or None without a known limit.

        Raises:
            SlurmError: when Slurm does not answer.
        """
        most = commands.most_submitted()
        if most is None:
            return None
        return max(0, most - sum(not job.is_over for job in commands.list_jobs().values()))

    def submit(self, home: Home, runs: Sequence[str], need: Need) -> tuple[Batch, Path]:
        """Submit runs as one array, and return the batch and the folder of its record.

        Raises:
            SlurmError: when Slurm rejects it; nothing is submitted then.
        """
        self.refuse_sharing(need)
        of_each = self.settings.runs_per_job
        packs = [tuple(runs[at : at + of_each]) for at in range(0, len(runs), of_each)]
        name = f"vld-{time.strftime('%y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        batch = Batch(name, time.time(), tuple(packs), settings_as_values(self.settings))
        folder = home.jobs / name
        try:
            make_batch_folder(home, batch)
            job_id = self._give(home, batch, folder, need)
        except OSError as error:
            raise SlurmError(f"Cannot write to {folder}: {error.strerror}.") from None
        except SlurmError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return msgspec.structs.replace(batch, job_id=job_id), folder

    def gpus(self, need: Need) -> int:
        """Return a job's GPUs per machine."""
        return self.settings.gpus_per_run if need.gpus == 1 else need.gpus

    def options(self, need: Need) -> dict[str, Any]:
        """Return the settings that are passed to sbatch unchanged, by its names."""
        further: dict[str, Any] = {"requeue": True}
        if gpus := self.gpus(need):
            further["gres"] = f"gpu:{gpus}"
        if need.nodes > 1:  # the engine starts its ranks there with srun
            signal = f"B:USR2@{self._warning_s}"
            further |= {"nodes": need.nodes, "ntasks-per-node": 1, "signal": signal}
        for name in ("account", "qos", "mem"):
            if value := getattr(self.settings, name):
                further[name] = value
        for each in self.settings.sbatch:
            name, sign, value = each.partition("=")
            further[name] = value if sign else True
        if self._passed:
            further["export"] = export_option(self._passed, further.get("export"))
        return further

    def refuse_sharing(self, need: Need) -> None:
        """Check that runs on several GPUs or machines do not share GPUs.

        Raises:
            SlurmError: when the settings request it.
        """
        if self.settings.runs_per_gpu > 1 and need != USUAL_NEED:
            raise SlurmError("Runs on several GPUs cannot share them; --runs-per-gpu must be 1.")

    def _give(self, home: Home, batch: Batch, folder: Path, need: Need) -> str:
        """Submit the packs with submitit and return Slurm's job id."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.slurm.slurm import SlurmExecutor

        python = shlex.quote(sys.executable)
        if need.nodes > 1:  # replaces the shell, the only process that Slurm signals then
            python = f"exec {python}"
        executor = SlurmExecutor(folder, max_num_timeout=EVER, python=python)
        executor.update_parameters(**self._parameters(batch, need))
        said = io.StringIO()  # submitit prints and raises sbatch's error
        slow = threading.Timer(_SLOW_S, self._on_slow)
        try:
            with contextlib.redirect_stderr(said), self._own_variables(), executor.batch():
                jobs = [executor.submit(pack) for pack in batch.packs(home)]
                slow.start()  # sbatch runs at the end of the block
        except FailedSubmissionError as error:  # it may have been accepted: looked up later
            raise StoreError(
                f"Cannot parse sbatch's answer: {str(error).splitlines()[0]}. The jobs may have "
                f"been submitted under the name {batch.name}; vld ls looks for them."
            ) from None
        except FailedJobError as error:
            text = said.getvalue() or str(error)
            if commands.is_full(text):
                raise SlurmError(_FULL) from None
            said_why = commands.complaint("sbatch", text)
            raise SlurmError(f"{said_why}\nList the cluster's resources with: {_LOOK}") from None
        finally:
            slow.cancel()
        return str(jobs[0].job_id).partition("_")[0]

    def _parameters(self, batch: Batch, need: Need) -> dict[str, Any]:
        """Return the settings under submitit's names."""
        settings = self.settings
        variables = variables_with_values(settings.env).items()
        setup = [*settings.setup, *(f"export {n}={shlex.quote(v)}" for n, v in variables)]
        cpus = settings.cpus
        return {
            "job_name": batch.name,
            "time": self.minutes,
            "signal_delay_s": self._warning_s,
            "stderr_to_stdout": True,
            "use_srun": need.nodes == 1,
            "array_parallelism": settings.array_parallelism or len(batch.runs),
            "additional_parameters": self.options(need),
            **({"partition": settings.partition} if settings.partition else {}),
            **({"cpus_per_task": cpus, "srun_args": [f"--cpus-per-task={cpus}"]} if cpus else {}),
            **({"setup": setup} if setup else {}),
        }

    def _own_variables(self) -> contextlib.AbstractContextManager[None]:
        """Export the variables that are passed by name to sbatch for the duration of the block."""
        from submitit.core.utils import environment_variables

        variables = dict(self._passed)
        if variables and (base := os.environ.get(_EXPORT)):  # it overrides the script's option
            variables[_EXPORT] = export_option(self._passed, base)
        context: contextlib.AbstractContextManager[None] = environment_variables(**variables)
        return context

    @property
    def _warning_s(self) -> int:
        return min(WARNING_S, self.minutes * 15)

    def _minutes(self) -> int:
        """Return a job's time limit: as requested, or the partition's default."""
        if self.settings.time is not None:
            return minutes_of(self.settings.time) or 1
        usual = (each.usual_minutes for each in self.partitions)
        return next(filter(None, usual), None) or YEAR_MIN


def submit_runs(store: Store, cluster: Cluster, runs: Sequence[str]) -> Submission:
    """Submit as many runs as the cluster accepts, array by array.

    Raises:
        SlurmError: when it accepts none.
        StoreError: when the submission cannot be recorded.
    """
    return submit_what_fits(store, cluster, runs).unless_refused()


def submit_what_fits(store: Store, cluster: Cluster, runs: Sequence[str]) -> Submission:
    """Submit as many runs as the cluster accepts, possibly none.

    Raises:
        SlurmError: when it does not answer.
        StoreError: when the submission cannot be recorded.
    """
    of_each = cluster.settings.runs_per_job
    room = cluster.room()
    most = len(runs) if room is None else min(len(runs), room * of_each)
    refusal = None
    if most < len(runs):
        refusal = "the cluster accepts no more of your jobs (MaxSubmitJobs)."
    needs = {run: Need.of(store.runs.run_dir(run).read_spec()) for run in runs}
    runs = sorted(runs, key=needs.__getitem__)
    submitted, arrays = 0, []
    while submitted < most:
        chunk = runs[submitted : min(most, submitted + cluster.array_size * of_each)]
        need = needs[chunk[0]]
        chunk = [run for run in chunk if needs[run] == need]
        for run in chunk:
            store.runs.run_dir(run).cancel_stop()
        try:
            batch, folder = cluster.submit(store.home, chunk, need)
        except SlurmError as error:
            refusal = str(error)
            break
        record_batch(store, batch, folder)
        arrays.append(batch.job_id or "")
        submitted += len(chunk)
    return Submission(tuple(runs[:submitted]), tuple(arrays), tuple(runs[submitted:]), refusal)


class PlannedJobs(msgspec.Struct, frozen=True):
    """Jobs with the same request, and what each requests.

    ``runs_per_job`` run one after another, or concurrently if they ``share`` a GPU. ``gpus`` are
    per machine. ``cpus`` and ``mem`` None: the cluster's default.
    """

    runs: int
    jobs: int
    arrays: int
    runs_per_job: int
    share: bool
    partition: str
    minutes: int
    gpus: int
    nodes: int
    cpus: int | None
    mem: str | None


class ClusterPlan(msgspec.Struct, frozen=True):
    """The planned jobs, why they would be refused, and why the cluster was not checked, if so."""

    jobs: tuple[PlannedJobs, ...] = ()
    problems: tuple[str, ...] = ()
    unchecked: str | None = None


def plan_jobs(settings: SlurmSettings, specs: Sequence[RunSpec]) -> ClusterPlan:
    """Query the cluster as a launch would; sbatch checks one job of each kind."""
    try:
        cluster = Cluster(settings)
        needs = sorted(Counter(map(Need.of, specs)).items())
        planned = tuple(_planned(cluster, need, runs) for need, runs in needs)
        problems = [*_of_time(cluster), *_of_room(cluster, planned)]
        for need, _ in needs:
            problems += _of_trial(cluster, need)
    except SlurmAwayError as error:
        return ClusterPlan(unchecked=str(error))
    except SlurmError as error:
        return ClusterPlan(problems=(str(error),))
    return ClusterPlan(planned, tuple(dict.fromkeys(problems)))


def _planned(cluster: Cluster, need: Need, runs: int) -> PlannedJobs:
    settings = cluster.settings
    jobs = -(-runs // settings.runs_per_job)
    return PlannedJobs(
        runs=runs,
        jobs=jobs,
        arrays=-(-jobs // cluster.array_size),
        runs_per_job=settings.runs_per_job,
        share=settings.runs_per_gpu > 1,
        partition=",".join(each.name for each in cluster.partitions),
        minutes=cluster.minutes,
        gpus=cluster.gpus(need),
        nodes=need.nodes,
        cpus=settings.cpus,
        mem=settings.mem,
    )


def _of_time(cluster: Cluster) -> Iterator[str]:
    """Yield a problem if the time is above every partition's limit, which sbatch does not check."""
    most = [each.most_minutes for each in cluster.partitions]
    longest = max((minutes for minutes in most if minutes is not None), default=None)
    if longest is not None and None not in most and cluster.minutes > longest:
        names = ", ".join(each.name for each in cluster.partitions)
        yield (
            f"time is {cluster.settings.time}, but the limit of {names} is {longest} minutes; use "
            f"--time {longest} or less."
        )


def _of_room(cluster: Cluster, planned: Sequence[PlannedJobs]) -> Iterator[str]:
    """Yield a problem if the accounting allows fewer jobs."""
    room, jobs = cluster.room(), sum(each.jobs for each in planned)
    if room is not None and room < jobs:
        yield f"the cluster accepts {room} more of your jobs now, not {jobs} (MaxSubmitJobs)."


def _of_trial(cluster: Cluster, need: Need) -> Iterator[str]:
    """Yield why sbatch would reject such a job."""
    settings = cluster.settings
    asked = {
        "partition": settings.partition,
        "time": cluster.minutes,
        "cpus-per-task": settings.cpus,
        **cluster.options(need),
    }
    words = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in asked.items()
        if value is not None
    ]
    try:
        cluster.refuse_sharing(need)
        commands.ask("sbatch", "--test-only", "--wrap=true", *words)
    except SlurmError as error:
        yield str(error)
