"""Plan cluster jobs before they are submitted: what they would ask for, and when they start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from engine.protocol import RunSpec
from vld_tui.launch.slurm import commands
from vld_tui.launch.slurm.commands import SlurmAwayError, SlurmError
from vld_tui.launch.slurm.settings import SlurmSettings
from vld_tui.launch.slurm.submit import Cluster, Need


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
