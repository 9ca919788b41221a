"""What a launch would submit to a cluster, and what that says of it: nothing is submitted."""

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
    """Jobs that ask for the same, and what each asks for.

    ``runs_per_job`` follow one another, or go on side by side where they ``share`` a GPU. ``gpus``
    are those of each machine. ``cpus`` and ``mem`` None: as the cluster has it.
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
    """What would be submitted, why it would be refused, and why the cluster was not asked if it
    was not."""

    jobs: tuple[PlannedJobs, ...] = ()
    problems: tuple[str, ...] = ()
    unchecked: str | None = None


def plan_jobs(settings: SlurmSettings, specs: Sequence[RunSpec]) -> ClusterPlan:
    """Look at the cluster as a launch of such runs does; sbatch checks a job of each kind."""
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
    """Yield that no partition lets a job take so long; sbatch does not see to it."""
    most = [each.most_minutes for each in cluster.partitions]
    longest = max((minutes for minutes in most if minutes is not None), default=None)
    if longest is not None and None not in most and cluster.minutes > longest:
        names = ", ".join(each.name for each in cluster.partitions)
        yield (
            f"time is {cluster.settings.time}, but a job of {names} may take {longest} minutes: "
            f"give --time {longest} or less."
        )


def _of_room(cluster: Cluster, planned: Sequence[PlannedJobs]) -> Iterator[str]:
    """Yield that the accounting allows fewer jobs."""
    room, jobs = cluster.room(), sum(each.jobs for each in planned)
    if room is not None and room < jobs:
        yield f"the cluster takes {room} more of your jobs now, not {jobs} (MaxSubmitJobs)."


def _of_trial(cluster: Cluster, need: Need) -> Iterator[str]:
    """Yield why sbatch would refuse such a job."""
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
