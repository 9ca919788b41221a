"""Which curves of which runs stand in which chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from vld_tui.feed import ID_CURVE, LOSS_CURVE, OOD_CURVE, CurveKey, RunCurves
from vld_tui.views.palette import ID_STYLE, OOD_STYLE, SERIES_STYLES
from vld_tui.views.plot import Series

DOMAIN_STYLES: Final = SERIES_STYLES[2:]
"""Those that stand for neither ID nor OOD."""


class ChartContent(NamedTuple):
    """A chart's title and its curves."""

    title: str
    series: tuple[Series, ...]


def chart_contents(watched: Sequence[RunCurves]) -> tuple[ChartContent, ChartContent, ChartContent]:
    """Return three charts: of one run its accuracies, its domains and its loss; of several
    runs their OOD accuracies, ID accuracies and losses."""
    if len(watched) == 1:
        (run,) = watched
        accuracies = (
            _series(run, ID_CURVE, "ID", ID_STYLE),
            _series(run, OOD_CURVE, "OOD", OOD_STYLE),
        )
        return (
            ChartContent("accuracy", _known(accuracies)),
            ChartContent("domains", _domains(run)),
            ChartContent("loss", _known([_series(run, LOSS_CURVE, "training", ID_STYLE)])),
        )
    return (
        ChartContent("OOD", _of_runs(watched, OOD_CURVE)),
        ChartContent("ID", _of_runs(watched, ID_CURVE)),
        ChartContent("loss", _of_runs(watched, LOSS_CURVE)),
    )


def _of_runs(watched: Sequence[RunCurves], key: CurveKey) -> tuple[Series, ...]:
    return _known(
        [
            _series(run, key, run.run.name, SERIES_STYLES[index % len(SERIES_STYLES)])
            for index, run in enumerate(watched)
        ]
    )


def _domains(run: RunCurves) -> tuple[Series, ...]:
    """Return the accuracy of each source's held-out images, and of the target's others."""
    split_of = {run.run.target: "in"}
    domains = sorted(
        {domain for _, domain, name in run.curves if name == "accuracy"} - {"id", "ood"}
    )
    others = [domain for domain in domains if domain != run.run.target]
    styles = dict(zip(others, DOMAIN_STYLES * len(others), strict=False))
    return _known(
        [
            _series(
                run,
                (split_of.get(domain, "out"), domain, "accuracy"),
                domain,
                styles.get(domain, OOD_STYLE),
            )
            for domain in domains
        ]
    )


def _series(run: RunCurves, key: CurveKey, name: str, style: str) -> Series | None:
    if key not in run.curves:
        return None
    steps, values = run.curves[key]
    return Series(name, steps, values, style, run.run.selected_step)


def _known(series: Sequence[Series | None]) -> tuple[Series, ...]:
    return tuple(each for each in series if each is not None)
