"""Studies as they stand, made of values: no run was ever started."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.protocol import RunSpec
from tests.vld_tui.study.known_datasets import read
from vld_tui.runs.run import ArmResult, Run
from vld_tui.study.define.definition import Study
from vld_tui.study.results.outcomes import outcomes_so_far
from vld_tui.study.results.state import StudyState, TimeLeft
from vld_tui.study.standing import Standing

RATES = read(
    'name = "rates"\ntitle = "How much dropout?"\ndata = ["emoji"]\nseeds = 2\n'
    "[fields]\nsteps = 20\n"
    'eval_every = 10\narms = ["averaged"]\naverage_from = 10\n'
    '[cross]\ntarget = ["fluent", "noto"]\ndropout_rate = [0.0, 0.9]\n'
)
"""Two rates on two targets with two seeds."""

Status = Callable[[RunSpec], str | None]
"""The status of the run of a spec; None: there is none."""


def run_of(spec: RunSpec, status: str, **changes: object) -> Run:
    """Return a run; finished ones are better with dropout, on noto, and with a later seed."""
    is_noto = spec.target == "noto"
    ood = 0.5 + 0.1 * spec.dropout_rate + 0.05 * is_noto + 0.02 * spec.seed
    has_ood = spec.target != "none"
    is_measured = status == "finished"
    values: dict[str, object] = {
        "run_id": f"250101-{spec.target}-{spec.dropout_rate}-{spec.seed}",
        "name": f"{spec.target}-d{spec.dropout_rate}-s{spec.seed}",
        "tags": (),
        "note": "",
        "created_at": 1e9,
        "status": status,
        "collapsed": False,
        "spec": spec,
        "step": {"finished": 20, "running": 5, "failed": 5}.get(status, 0),
        "steps": 20,
        "selected_step": 10 if is_measured else None,
        "id_accuracy": 0.8 if is_measured else None,
        "ood_accuracy": ood if is_measured and has_ood else None,
        "domains": _domains(spec, ood) if is_measured else {},
        "error": "The loss is not finite." if status == "failed" else None,
    }
    return Run(**{**values, **changes})  # type: ignore[arg-type]


def _domains(spec: RunSpec, ood: float) -> dict[str, float]:
    return {"twemoji": 0.8} | ({} if spec.target == "none" else {str(spec.target): ood})


def state_of(
    study: Study = RATES, status: Status = lambda _: "finished", *, left: TimeLeft | None = None
) -> StudyState:
    """Return where a study stands; the averaged arm is better than a run by a point."""
    runs = tuple(
        None if (found := status(spec)) is None else run_of(spec, found) for spec in study.specs
    )
    standing = Standing(study, runs)
    arms: Mapping[str, list[ArmResult]] = {
        run.run_id: [ArmResult("averaged", 20, 0.81, _a_point_better(run), {"noto": 0.4})]
        for run in standing.finished
    }
    results = outcomes_so_far(standing, arms)
    return StudyState(study.name, standing, results, left or TimeLeft())


def _a_point_better(run: Run) -> float | None:
    return None if run.ood_accuracy is None else run.ood_accuracy + 0.01


def half_done(spec: RunSpec) -> str | None:
    """Return the statuses of a study in progress, every one there is."""
    if spec.seed == 0:
        return "failed" if (spec.target, spec.dropout_rate) == ("noto", 0.9) else "finished"
    return {
        ("fluent", 0.0): "finished",
        ("noto", 0.0): "running",
        ("fluent", 0.9): "queued",
    }.get((str(spec.target), spec.dropout_rate))
