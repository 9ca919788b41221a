"""Give runs to Slurm as job arrays, none twice: see also :mod:`vld_tui.launch.slurm.batches`."""

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from engine.protocol import RunSpec
from vld_tui.home import Home
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.batches import (
    EVER,
    YEAR_MIN,
    Batch,
    make_folder,
    record,
    require_submitit,
)
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.partitions import partitions_for
from vld_tui.launch.slurm.profiles import settings_as_values
from vld_tui.launch.slurm.settings import SlurmSettings, minutes_of
from vld_tui.launch.slurm.variables import export_of, from_environment, with_values
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

WARNING_S: Final = 120
"""How long before its end a job is warned, so that runs save."""
_USUAL_ARRAY: Final = 1001
"""Slurm's own MaxArraySize."""
_LOOK: Final = "sinfo --format='%P %l %c %m %G'"
"""Lists partitions with their longest time and their nodes' cores, memory (MiB) and GPUs."""
_FULL: Final = "The cluster's queue is full (MaxJobCount): sbatch tried for two minutes."
_SLOW_S: Final = 10.0
_EXPORT: Final = "SBATCH_EXPORT"


class Need(NamedTuple):
    """What runs need of a job besides its settings: GPUs of each machine, and machines."""

    gpus: int
    nodes: int

    @classmethod
    def of(cls, spec: RunSpec) -> Need:
        """Return what a run needs."""
        is_shared = spec.gpus > 1 and spec.device != "cpu"
        return cls(spec.gpus if is_shared else 1, spec.nodes)


USUAL_NEED: Final = Need(1, 1)
"""Of a run on one GPU, or on as many as the settings say."""


class Submission(msgspec.Struct, frozen=True):
    """What became of runs that were to be submitted: their ids, the arrays they were submitted as,
    and why the others were not."""

    submitted: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def jobs(self) -> str:
        """Name the jobs."""
        return f"job{'s' if len(self.arrays) > 1 else ''} {', '.join(self.arrays)}"

    @property
    def why_left(self) -> str:
        """Say in one line how many runs were left, and why."""
        why = (self.refusal or "").partition("\n")[0]
        return f"{plural(len(self.left), 'run')} left: {why}"

    def unless_refused(self) -> Submission:
        """Return it, unless the cluster took none of the runs.

        Raises:
            SlurmError: saying why it did not.
        """
        if self.refusal and not self.submitted:
            raise SlurmError(f"Nothing was submitted. {self.refusal}")
        return self

    def __add__(self, other: Submission) -> Submission:
        """Return what became of the runs of both."""
        return Submission(
            self.submitted + other.submitted,
            self.arrays + other.arrays,
            self.left + other.left,
            self.refusal or other.refusal,
        )


class Cluster:
    """The cluster that this machine submits to, and what it allows."""

    def __init__(self, settings: SlurmSettings, on_slow: Callable[[], None] = lambda: None) -> None:
        """Look at the cluster. ``on_slow`` is called when it takes long to take jobs.

        Raises:
            SlurmError: when there is none, it does not answer, it has no such partition, submitit
                is not installed, or a variable to pass on is not set; :class:`SlurmAwayError` for
                the first two.
        """
        commands.require_slurm()
        commands.refuse_other_clusters()
        commands.require_controller()
        require_submitit()
        self.settings = settings
        self._passed = from_environment(settings.env)
        self._on_slow = on_slow
        configured = commands.configuration().get("MaxArraySize", "")
        self.array_size = int(configured) if configured.isdecimal() else _USUAL_ARRAY
        self.partitions = partitions_for(settings.partition)
        self.minutes = self._minutes()

    def room(self) -> int | None:
        """Return how many more jobs this user may submit; None: no limit is known.

        Raises:
            SlurmError: when Slurm does not answer.
        """
        most = commands.most_submitted()
        if most is None:
            return None
        return max(0, most - sum(not job.is_over for job in commands.list_jobs().values()))

    def submit(self, home: Home, runs: Sequence[str], need: Need) -> tuple[Batch, Path]:
        """Submit runs as one array, and return what was submitted and where it is written down.

        Raises:
            SlurmError: when Slurm refuses; nothing is submitted then.
        """
        self.refuse_sharing(need)
        of_each = self.settings.runs_per_job
        packs = [tuple(runs[at : at + of_each]) for at in range(0, len(runs), of_each)]
        name = f"vld-{time.strftime('%y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        batch = Batch(name, time.time(), tuple(packs), settings_as_values(self.settings))
        folder = home.jobs / name
        try:
            make_folder(home, batch)
            job_id = self._give(home, batch, folder, need)
        except OSError as error:
            raise SlurmError(f"{folder} cannot be written: {error.strerror}.") from None
        except SlurmError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return msgspec.structs.replace(batch, job_id=job_id), folder

    def gpus(self, need: Need) -> int:
        """Return how many GPUs of a machine a job gets."""
        return self.settings.gpus_per_run if need.gpus == 1 else need.gpus

    def options(self, need: Need) -> dict[str, Any]:
        """Return the settings that sbatch is given as they are, by its names."""
        further: dict[str, Any] = {"requeue": True}
        if gpus := self.gpus(need):
            further["gres"] = f"gpu:{gpus}"
        if need.nodes > 1:  # the engine starts its ranks on them, by srun
            signal = f"B:USR2@{self._warning_s}"
            further |= {"nodes": need.nodes, "ntasks-per-node": 1, "signal": signal}
        for name in ("account", "qos", "mem"):
            if value := getattr(self.settings, name):
                further[name] = value
        for each in self.settings.sbatch:
            name, sign, value = each.partition("=")
            further[name] = value if sign else True
        if self._passed:
            further["export"] = export_of(self._passed, further.get("export"))
        return further

    def refuse_sharing(self, need: Need) -> None:
        """Refuse to have runs of several GPUs or machines share them.

        Raises:
            SlurmError: when the settings ask for it.
        """
        if self.settings.runs_per_gpu > 1 and need != USUAL_NEED:
            raise SlurmError("Runs of several GPUs cannot share them: leave --runs-per-gpu at 1.")

    def _give(self, home: Home, batch: Batch, folder: Path, need: Need) -> str:
        """Have submitit submit the packs; return the id that Slurm gave them."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.slurm.slurm import SlurmExecutor

        python = shlex.quote(sys.executable)
        if need.nodes > 1:  # in place of the shell, which is all that Slurm warns then
            python = f"exec {python}"
        executor = SlurmExecutor(folder, max_num_timeout=EVER, python=python)
        executor.update_parameters(**self._parameters(batch, need))
        said = io.StringIO()  # submitit prints what sbatch complains of, and raises it too
        slow = threading.Timer(_SLOW_S, self._on_slow)
        try:
            with contextlib.redirect_stderr(said), self._own_variables(), executor.batch():
                jobs = [executor.submit(pack) for pack in batch.packs(home)]
                slow.start()  # sbatch is run as the block ends
        except FailedSubmissionError as error:  # it may have been taken: it is looked for later
            raise StoreError(
                f"sbatch answered what nobody can read: {str(error).splitlines()[0]}. The jobs may "
                f"have been taken, under the name {batch.name}: they are looked for by vld ls."
            ) from None
        except FailedJobError as error:
            text = said.getvalue() or str(error)
            if commands.is_full(text):
                raise SlurmError(_FULL) from None
            said_why = commands.complaint("sbatch", text)
            raise SlurmError(f"{said_why}\nWhat the cluster has: {_LOOK}") from None
        finally:
            slow.cancel()
        return str(jobs[0].job_id).partition("_")[0]

    def _parameters(self, batch: Batch, need: Need) -> dict[str, Any]:
        """Return the settings as submitit calls them."""
        settings = self.settings
        variables = with_values(settings.env).items()
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
        """Have sbatch find the variables that are passed by name for the duration of the block."""
        from submitit.core.utils import environment_variables

        variables = dict(self._passed)
        if variables and (base := os.environ.get(_EXPORT)):  # it wins over the script's option
            variables[_EXPORT] = export_of(self._passed, base)
        context: contextlib.AbstractContextManager[None] = environment_variables(**variables)
        return context

    @property
    def _warning_s(self) -> int:
        return min(WARNING_S, self.minutes * 15)

    def _minutes(self) -> int:
        """Return how long a job may take: as asked, or as the partition has it."""
        if self.settings.time is not None:
            return minutes_of(self.settings.time) or 1
        usual = (each.usual_minutes for each in self.partitions)
        return next(filter(None, usual), None) or YEAR_MIN


def submit_runs(store: Store, cluster: Cluster, runs: Sequence[str]) -> Submission:
    """Give runs to the cluster, array by array, as many as it takes.

    Raises:
        SlurmError: when it takes none.
        StoreError: when what was submitted cannot be recorded.
    """
    return submit_what_fits(store, cluster, runs).unless_refused()


def submit_what_fits(store: Store, cluster: Cluster, runs: Sequence[str]) -> Submission:
    """Give runs to the cluster, array by array, as many as it takes, or none.

    Raises:
        SlurmError: when it does not answer.
        StoreError: when what was submitted cannot be recorded.
    """
    of_each = cluster.settings.runs_per_job
    room = cluster.room()
    most = len(runs) if room is None else min(len(runs), room * of_each)
    refusal = None
    if most < len(runs):
        refusal = "the cluster takes no more jobs of yours at once (MaxSubmitJobs)"
    needs = {run: Need.of(store.run_dir(run).read_spec()) for run in runs}
    runs = sorted(runs, key=needs.__getitem__)
    submitted, arrays = 0, []
    while submitted < most:
        chunk = runs[submitted : min(most, submitted + cluster.array_size * of_each)]
        need = needs[chunk[0]]
        chunk = [run for run in chunk if needs[run] == need]
        for run in chunk:
            store.run_dir(run).cancel_stop()
        try:
            batch, folder = cluster.submit(store.home, chunk, need)
        except SlurmError as error:
            refusal = str(error)
            break
        record(store, batch, folder)
        arrays.append(batch.job_id or "")
        submitted += len(chunk)
    return Submission(tuple(runs[:submitted]), tuple(arrays), tuple(runs[submitted:]), refusal)
