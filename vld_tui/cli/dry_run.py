"""``--dry-run``: what a run or the jobs of a cluster would do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import typer

from engine.protocol import NO_TARGET, RunSpec, learning_rates
from engine.protocol.datasets import DatasetListing
from vld_tui.cli.errors import USAGE_EXIT
from vld_tui.cli.output import print_json, say
from vld_tui.home import Home
from vld_tui.launch.slurm.submit import ClusterPlan, PlannedJobs
from vld_tui.runs.progress import Progress
from vld_tui.study.planner import LocalPlanner
from vld_tui.study.preflight import Preflight, preflight
from vld_tui.views.plan import ONE_DOMAIN, forecast_text, image_rows, loaded_line, plan_rows
from vld_tui.views.study import features_cautions, features_text, weights_lines
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


def print_plan(home: Home, spec: RunSpec, cluster: ClusterPlan | None, *, as_json: bool) -> None:
    """Print the plan of a run; ``cluster`` is None for a run on this machine.

    Raises:
        typer.Exit: with 2 when a problem would stop the run.
    """
    found = preflight(LocalPlanner(home), spec, goes_elsewhere=cluster is not None)
    failing = [each for each in found.absent if each.where != "hub"]
    problems = [*found.problems, *weights_lines(failing)]
    if cluster is not None:
        problems += cluster.problems
    if as_json:
        print_json(_record(spec, cluster, found, problems))
    else:
        _say_plan(spec, cluster, found)
    if problems:
        raise typer.Exit(USAGE_EXIT)


def _say_plan(spec: RunSpec, cluster: ClusterPlan | None, found: Preflight) -> None:
    rows = plan_rows(spec, Progress())
    if found.images is not None:
        if len(found.images.domains) == 1 and spec.target in (None, NO_TARGET):
            rows = [("target", ONE_DOMAIN) if row[0] == "target" else row for row in rows]
        read = image_rows(found.images.reading, found.images.left_out)
        rows[2:2] = [("images", _images(found.images)), *read]
    if found.loaded is not None:
        rows.insert(1, ("weights", loaded_line(found.loaded)))
    if cluster is None:
        if found.features is not None:
            rows.append(("features", features_text(found.features)))
        rows.append(("estimate", forecast_text(found.forecast).plain))
    else:
        rows += planned_lines(cluster)
    rows += [("caution", line) for line in (*found.cautions, *features_cautions(found.features))]
    rows += [("problem", line) for line in found.problems]
    rows += [("weights", line) for line in weights_lines(found.absent)]
    unasked = ["GPUs of the cluster"] if cluster is not None and not cluster.jobs else []
    for label, line in rows:
        say(f"{label:<9} {line}")
    say(f"not checked: {', '.join([*found.unchecked, *unasked])}")


def _images(images: DatasetListing) -> str:
    counts = [f"{domain.name} {domain.images:,}" for domain in images.domains]
    return " · ".join([*counts, plural(len(images.classes), "class")])


def _record(
    spec: RunSpec, cluster: ClusterPlan | None, found: Preflight, problems: list[str]
) -> dict[str, Any]:
    """Return the plan for scripts; with a cluster, the fields are under ``spec``."""
    rates, images, expected = learning_rates(spec), found.images, found.forecast
    base = msgspec.to_builtins(spec) if cluster is None else {"spec": spec, "cluster": cluster}
    return base | {
        "problems": problems,
        "cautions": found.cautions,
        "unchecked": found.unchecked,
        "absent_weights": [each._asdict() for each in found.absent],
        "loaded_weights": found.loaded,
        "images": None if images is None else {each.name: each.images for each in images.domains},
        "classes": None if images is None else images.classes,
        "reading": None if images is None else images.reading,
        "left_out": None if images is None else images.left_out,
        "time_s": expected.wall_s,
        "timing_s": expected.timing_s,
        "memory_bytes": expected.memory_bytes,
        "disk_bytes": expected.disk_bytes,
        "features": found.features and found.features.as_record(),
        "peak_lr": rates.peak,
        "end_lr": rates.end,
    }
