"""Rows on the results of reports."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.parity.images import DOMAINS
from benchmarks.parity.reference import report as theirs
from benchmarks.parity.reference.report import Run
from benchmarks.parity.row import Row
from vld_tui.runs.metrics import LastEvaluation
from vld_tui.study.results.inference import compare_settings
from vld_tui.study.results.outcomes import Outcome, Setting
from vld_tui.study.results.selection import choose_cells, clouds

RATES: Final = (0.0, 0.5, 0.9)
CELLS: Final = tuple(itertools.product((1e-3, 5e-4), (1e-4, 5e-5, 1e-5)))
SEEDS: Final = range(3)


def clouds_of_points(_folder: Path) -> Row:
    """Compare points, centres and their intervals."""
    runs = made_up_runs()
    exact, intervals, count = [], [], 0
    for cloud in clouds([outcome(run) for run in runs]):
        of_rate = _whole(runs, cloud.setting.value("dropout_rate"))
        values: tuple[tuple[Callable[[Run], float], theirs.Values, float, float | None], ...] = (
            (
                _id,
                cloud.ids,
                cloud.id_accuracy,
                cloud.id_estimate and cloud.id_estimate.half_interval,
            ),
            (
                _ood,
                cloud.oods,
                cloud.ood_accuracy,
                cloud.ood_estimate and cloud.ood_estimate.half_interval,
            ),
        )
        for value, points, centre, interval in values:
            expected = theirs.points(of_rate, value)
            count += len(expected)
            exact += [np.abs(points - expected).max(), abs(centre - theirs.centre(of_rate, value))]
            intervals.append(abs((interval or 0.0) - theirs.half_interval(of_rate, value)))
    return Row(
        "points, centres and intervals of a report",
        "all ways to pick a cell for each target, averaged (the paper, figure 2); Student's t "
        "over seeds (NumPy, SciPy)",
        "`vld report`",
        f"{len(_whole(runs))} simulated runs: {len(RATES)} rates × {len(DOMAINS)} targets × "
        f"{len(CELLS)} cells × {len(SEEDS)} seeds; {count:,} coordinates",
        f"points and centres: largest difference {max(exact):.0e}; half-widths of intervals: "
        f"{max(intervals):.0e}",
        count == 2 * len(RATES) * len(CELLS) ** len(DOMAINS)
        and max(exact) < 1e-12
        and max(intervals) < 1e-9,
    )


def choices(_folder: Path) -> Row:
    """Compare the selections of each method."""
    runs = made_up_runs()
    same = compared = 0
    for selection in choose_cells([outcome(run) for run in runs]):
        rate = selection.among.value("dropout_rate") if selection.among else None
        of_rate = _whole(runs, rate)
        held_out = [run for run in runs if run.left_out_source and run.rate == rate]
        scores = {
            "id": theirs.by_cell(of_rate, _id),
            "oracle": theirs.by_cell(of_rate, lambda run: run.last_out),
            "leave_one_source_out": theirs.leave_one_source_out(of_rate, held_out),
        }
        value = (lambda run: run.last_in) if selection.method == "oracle" else _ood
        expected = theirs.chosen(of_rate, scores[selection.method], value)
        for choice in selection.choices:
            compared += 1
            same += abs(choice.ood_accuracy - expected[choice.target]) < 1e-12
    return Row(
        "selection of cells",
        "`IIDAccuracySelectionMethod`, `LeaveOneOutSelectionMethod`, `OracleSelectionMethod` "
        "(DomainBed `model_selection.py`): the oracle by the target's `out` at the last step",
        "ID validation, leave one source out, oracle, each on the mean over seeds",
        f"{len(runs):,} simulated runs, a source left out of {len(runs) - len(_whole(runs))} of "
        "them",
        f"{same} of {compared} selections reach the same OOD accuracy",
        same == compared == 3 * len(RATES) * len(DOMAINS),
    )


def differences(_folder: Path) -> Row:
    """Compare paired differences and their intervals over seeds."""
    runs = made_up_runs()
    found = []
    for each in compare_settings([outcome(run) for run in _whole(runs)]):
        after = each.setting.value("dropout_rate")
        mean, interval = theirs.difference(_whole(runs, RATES[0]), _whole(runs, after))
        if each.seeds_interval is None:
            raise AssertionError("three seeds make an interval")
        found += [abs(each.difference - mean)]
        found += [abs(a - b) for a, b in zip(each.seeds_interval, interval, strict=True)]
    return Row(
        "differences of settings",
        "paired by target, cell and seed; Student's t over seeds (NumPy, SciPy)",
        "`vld report`",
        f"{len(RATES) - 1} rates compared with λ = 0",
        f"means and ends of intervals: largest difference {max(found):.0e}",
        len(found) == 3 * (len(RATES) - 1) and max(found) < 1e-9,
    )


def made_up_runs() -> list[Run]:
    """Return the runs of a study, including those that leave a source out."""
    noise = np.random.default_rng(0)
    pairs: list[tuple[str, str | None]] = [(target, None) for target in DOMAINS]
    pairs += itertools.combinations(DOMAINS, 2)
    return [
        _run(noise, target, source, rate, cell, seed)
        for (target, source), rate, cell, seed in itertools.product(pairs, RATES, CELLS, SEEDS)
    ]


def _run(
    noise: np.random.Generator,
    target: str,
    source: str | None,
    rate: float,
    cell: tuple[float, float],
    seed: int,
) -> Run:
    domains = {
        name: float(value) for name, value in zip(DOMAINS, noise.uniform(0.5, 0.9, 4), strict=True)
    }
    sources = [value for name, value in domains.items() if name not in (target, source)]
    last_in, last_out = noise.uniform(0.5, 0.9, 2)
    return Run(
        target, source, rate, cell, seed, float(np.mean(sources)), domains[target],
        float(last_in), float(last_out), domains,
    )  # fmt: skip


def outcome(run: Run) -> Outcome:
    """Return a run as reports read it."""
    return Outcome(
        dataset="PACS",
        target=run.target,
        setting=Setting((("dropout_rate", run.rate),)),
        cell=run.cell,
        seed=(run.seed, None),
        run_id=f"{run.target}-{run.left_out_source}-{run.rate}-{run.cell}-{run.seed}",
        id_accuracy=run.id_accuracy,
        ood_accuracy=run.ood_accuracy,
        domains=run.domains,
        held_out_source=run.left_out_source,
        last=LastEvaluation(300, run.id_accuracy, run.last_in, run.last_out),
    )


def _whole(runs: Sequence[Run], rate: float | None = None) -> list[Run]:
    """Return the runs that trained on every source, of one rate or of all."""
    return [run for run in runs if run.left_out_source is None and rate in (None, run.rate)]


def _id(run: Run) -> float:
    return run.id_accuracy


def _ood(run: Run) -> float:
    return run.ood_accuracy
