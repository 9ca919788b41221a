"""A table of a study's results on other data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from engine.protocol import MEASURES
from engine.protocol.data_evaluations import DataEvaluation
from engine.protocol.measures import ACCURACY
from vld_tui.report.accuracy import (
    DEVIATION,
    HALF_INTERVAL,
    SEEDS,
    few_seeds,
    seeds_text,
    spread_of,
)
from vld_tui.report.tables import CellValue, Table, TableColumn
from vld_tui.runs.statistics import Estimate, Reading, over_seeds
from vld_tui.study.results.outcomes import Outcome, grouped, in_full, settings_of
from vld_tui.words.numbers import plural

NAME: Final = "evaluations"
_FIRST: Final = (
    TableColumn("data", "evaluated on", right=False),
    TableColumn("dataset", "data set", right=False, rank=40),
    TableColumn("target", "target", right=False, rank=80),
    TableColumn("setting", "setting", right=False),
)
_PARTS: Final = ("", HALF_INTERVAL, DEVIATION, SEEDS)
_LAST: Final = (
    TableColumn("images", "images", rank=60),
    TableColumn("runs", "runs", rank=70),
    TableColumn("seeds", "seeds", rank=70),
)


class OnData(NamedTuple):
    """An outcome and the evaluation of its network on some data."""

    outcome: Outcome
    evaluation: DataEvaluation


def evaluation_tables(
    results: Sequence[Outcome],
    own_arms: Mapping[str, str],
    evaluations: Mapping[str, Sequence[DataEvaluation]],
) -> list[Table]:
    """Return the table of results on other data by setting, if a run has any.

    Args:
        results: of every arm.
        own_arms: arm of each run's own network.
        evaluations: by run, oldest first.
    """
    found = [
        OnData(outcome, evaluation)
        for outcome in in_full(results)
        for evaluation in _of_outcome(outcome, own_arms, evaluations)
    ]
    if not found:
        return []
    figures = _figures(found)
    rows: list[tuple[CellValue, ...]] = []
    breaks: list[int] = []
    for of_data in grouped(found, lambda each: each.evaluation.digest).values():
        breaks += [len(rows)] if rows else []
        places = grouped(of_data, lambda each: (each.outcome.dataset, each.outcome.target))
        for (dataset, target), of_place in places.items():
            rows += _rows(of_place, figures, dataset, target)
        if len(places) > 1:
            rows += _rows(of_data, figures, "", f"mean of {len(places)}")
    columns = tuple(
        TableColumn(each.key, f"{each.heading} % ± 95%", parts=_PARTS) for each in figures
    )
    return [
        Table(
            NAME,
            "Evaluations on other data",
            (*_FIRST, *columns, *_LAST),
            tuple(rows),
            tuple(_notes(found, rows)),
            tuple(breaks),
        )
    ]


def _of_outcome(
    outcome: Outcome,
    own_arms: Mapping[str, str],
    evaluations: Mapping[str, Sequence[DataEvaluation]],
) -> list[DataEvaluation]:
    """Return the last evaluation of an outcome's network on each data."""
    arm = outcome.setting.arm or own_arms.get(outcome.run_id)
    of_data = {
        each.digest: each
        for each in evaluations.get(outcome.run_id, ())
        if (each.arm, each.at) == (arm, "best") and each.step in (None, outcome.selected_step)
    }
    return list(of_data.values())


class _Figure(NamedTuple):
    """A number of an evaluation: its key for scripts and its heading."""

    key: str
    heading: str

    def of(self, evaluation: DataEvaluation) -> float | None:
        """Return its value."""
        scores = evaluation.overall
        if self.key == ACCURACY:
            return scores.accuracy.value
        found = scores.measures.get(self.key)
        return found.value if found is not None else None


def _figures(found: Sequence[OnData]) -> list[_Figure]:
    """Return accuracy and the measures of which there is a value."""
    known = {name for each in found for name in each.evaluation.overall.measures}
    measures = (measure for name, measure in MEASURES.items() if name in known)
    return [
        _Figure(ACCURACY, ACCURACY),
        *(_Figure(measure.name, measure.label) for measure in measures),
    ]


def _rows(
    found: Sequence[OnData], figures: Sequence[_Figure], dataset: str, target: str
) -> Iterator[tuple[CellValue, ...]]:
    """Yield a row for each setting."""
    of_setting = grouped(found, lambda each: each.outcome.setting)
    for setting in settings_of([each.outcome for each in found]):
        alike = of_setting[setting]
        first = alike[0].evaluation
        cells = grouped(alike, lambda each: (each.outcome.target, each.outcome.cell))
        seeds = [len({each.outcome.seed for each in cell}) for cell in cells.values()]
        estimates = [_estimate(alike, figure) for figure in figures]
        yield (
            first.dataset, dataset, target, setting.label,
            *(each and spread_of(each.mean, each, each.half_interval) for each in estimates),
            first.pooled.images,
            len({each.outcome.run_id for each in alike}),
            seeds_text(min(seeds), max(seeds)),
        )  # fmt: skip


def _estimate(found: Sequence[OnData], figure: _Figure) -> Estimate | None:
    """Return the mean over targets, cells and seeds."""
    return over_seeds(
        Reading((each.dataset, each.target), (each.setting, each.cell), each.seed, value)
        for each, evaluation in found
        if (value := figure.of(evaluation)) is not None
    )


def _notes(found: Sequence[OnData], rows: Sequence[tuple[CellValue, ...]]) -> Iterator[str]:
    yield (
        "Results of vld evaluate at each run's selected step, which nothing was selected on: means "
        "over domains. Mean over cells of the mean over seeds; ± is half the 95% interval over "
        "seeds on these images (Student's t); see vld show for intervals over images."
    )
    yield from few_seeds(rows)
    known = sum(not each.evaluation.is_test for each in found)
    if known:
        yield (
            f"{known:,} of {plural(len(found), 'evaluation')} are not tests: among the images are "
            "some that the run was trained on or that selected its step."
        )
