"""The planned jobs of a submission as text."""

from __future__ import annotations

from collections.abc import Iterator

from vld_tui.launch.slurm.plan import ClusterPlan, PlannedJobs
from vld_tui.words.numbers import duration, plural


def planned_lines(plan: ClusterPlan) -> Iterator[tuple[str, str]]:
    """Yield the planned jobs as lines of label and text."""
    for jobs in plan.jobs:
        yield "cluster", _planned(jobs)
    for problem in plan.problems:
        first, *further = problem.splitlines()
        yield "problem", first
        for line in further:
            yield "", line
    if plan.unchecked is not None:
        yield "caution", f"the cluster was not checked: {plan.unchecked}"


def _planned(jobs: PlannedJobs) -> str:
    count = plural(jobs.jobs, "job")
    if jobs.jobs > 1:
        count += f" in {plural(jobs.arrays, 'array')}"
    if jobs.runs_per_job > 1:
        how = "concurrently" if jobs.share else "one after another"
        count += f" of up to {jobs.runs_per_job} runs {how}"
    machines = [plural(jobs.nodes, "machine")] if jobs.nodes > 1 else []
    gpus = "no GPU" if jobs.gpus == 0 else plural(jobs.gpus, "GPU")
    cpus = "default cores" if jobs.cpus is None else plural(jobs.cpus, "core")
    mem = "default memory" if jobs.mem is None else f"memory {jobs.mem}"
    partition = f"partition {jobs.partition}" if jobs.partition else "no partition"
    parts = [count, partition, f"time {duration(jobs.minutes * 60)}", *machines, gpus, cpus, mem]
    return " · ".join(parts)
