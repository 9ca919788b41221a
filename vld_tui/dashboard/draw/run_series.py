"""The curves of runs, by chart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from engine.protocol import MetricKey
from engine.protocol.measures import ACCURACY
from engine.protocol.selection import selection_key
from vld_tui.dashboard.feed import RunCurves
from vld_tui.study.results.groups import RunGroup, distinctions, group_by_seed, group_labels
from vld_tui.views.plot import PlotSeries
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, SERIES_STYLES, Look, series_look

KeyOfArm = Callable[[str], MetricKey]
LookOfRuns = Callable[[Sequence[str]], Look]
NO_PLACES: Final[Mapping[str, int]] = MappingProxyType({})


class ChartContent(NamedTuple):
    """A chart's title and its curves."""

    title: str
    series: tuple[PlotSeries, ...]


def chart_contents(
    watched: Sequence[RunCurves],
    *,
    over_seeds: bool = False,
    places: Mapping[str, int] = NO_PLACES,
) -> tuple[ChartContent, ChartContent, ChartContent]:
    """Return three charts: of one run its accuracies, its domains and its loss; of several
    runs their OOD accuracies, ID accuracies and losses.

    ``over_seeds``: runs that differ only in their seeds become one curve, their mean, between two
    dim ones a standard deviation away. ``places`` determine the appearance of runs that are marked
    in the list, so that it is the same there.
    """
    look_of = partial(_look_of, [each.run.run_id for each in watched], places)
    if len(watched) == 1:
        (run,) = watched
        own = run.run.arm
        accuracies = (
            _series(run, MetricKey.id(own), "ID", ID_STYLE),
            _series(run, MetricKey.ood(own), "OOD", OOD_STYLE),
            *_arms(run),
        )
        return (
            ChartContent("accuracy", _known(accuracies)),
            ChartContent("domains", _domains(run)),
            ChartContent("loss", _known([_series(run, MetricKey.loss(own), "training", ID_STYLE)])),
        )
    charts = (("OOD", MetricKey.ood), ("ID", MetricKey.id), ("loss", MetricKey.loss))
    groups = group_by_seed(each.run for each in watched)
    if over_seeds and len(groups) < len(watched):
        curves = {each.run.run_id: each for each in watched}
        first, second, third = (
            ChartContent(
                f"{title} ± sd over seeds", tuple(_of_groups(groups, curves, key, look_of))
            )
            for title, key in charts
        )
    else:
        first, second, third = (
            ChartContent(title, _of_runs(watched, key, look_of)) for title, key in charts
        )
    return first, second, third


def _look_of(watched: Sequence[str], places: Mapping[str, int], run_ids: Sequence[str]) -> Look:
    """Return the appearance of one run, or of a group: by its place in the list if it is marked,
    otherwise among the watched ones."""
    found = [places[each] for each in run_ids if each in places]
    return series_look(min(found) if found else min(watched.index(each) for each in run_ids))


def _of_runs(
    watched: Sequence[RunCurves], key_of: KeyOfArm, look_of: LookOfRuns
) -> tuple[PlotSeries, ...]:
    runs = [each.run for each in watched]
    told = distinctions([run.name for run in runs], runs)
    return _known(
        [
            _series(
                each,
                key_of(each.run.arm),
                each.run.name + told[at],
                look_of([each.run.run_id]).colour,
            )
            for at, each in enumerate(watched)
        ]
    )


def _of_groups(
    groups: Sequence[RunGroup],
    curves: Mapping[str, RunCurves],
    key_of: KeyOfArm,
    look_of: LookOfRuns,
) -> Iterator[PlotSeries]:
    """Yield each group's mean and spread at the steps that all of its runs have."""
    for group, label in zip(groups, group_labels(groups), strict=True):
        style = look_of([run.run_id for run in group.runs]).colour
        found = [curves[run.run_id] for run in group.runs if run.run_id in curves]
        known = [each.curves[key] for each in found if (key := key_of(each.run.arm)) in each.curves]
        if not known:
            continue
        steps = functools.reduce(np.intersect1d, [steps for steps, _ in known])
        values = np.stack([of_run[np.isin(at, steps)] for at, of_run in known])
        mean = values.mean(axis=0)
        if len(known) > 1:
            deviation = values.std(axis=0, ddof=1)
            for bound in (mean - deviation, mean + deviation):
                yield PlotSeries("", steps, bound, f"dim {style}", is_bound=True)
        yield PlotSeries(label, steps, mean, style)


def _arms(run: RunCurves) -> Iterator[PlotSeries]:
    """Yield ID and OOD accuracy of additional arms, each in its own colour."""
    arms = sorted({key.arm for key in run.curves if key == MetricKey.id(key.arm)} - {run.run.arm})
    for index, arm in enumerate(arms):
        style = SERIES_STYLES[index % len(SERIES_STYLES)]
        score = selection_key(run.run.spec, arm)
        steps, values = run.curves.get(score, run.curves[MetricKey.id(arm)])
        selected = int(steps[values.argmax()])
        for key, title in ((MetricKey.id(arm), "ID"), (MetricKey.ood(arm), "OOD")):
            if key in run.curves:  # no OOD accuracy without a target
                yield PlotSeries(f"{title} {arm}", *run.curves[key], style, selected)


def _domains(run: RunCurves) -> tuple[PlotSeries, ...]:
    """Return the accuracy of each source's held-out images, and of the target's others."""
    split_of = {run.run.target: "in"}
    own = run.run.arm
    domains = sorted(
        {
            key.domain
            for key in run.curves
            if (key.name, key.arm) == (ACCURACY, own) and not key.is_judged
        }
    )
    others = [domain for domain in domains if domain != run.run.target]
    styles = dict(zip(others, SERIES_STYLES * len(others), strict=False))
    return _known(
        [
            _series(
                run,
                MetricKey(ACCURACY, split_of.get(domain, "out"), domain, own),
                domain,
                styles.get(domain, OOD_STYLE),
            )
            for domain in domains
        ]
    )


def _series(run: RunCurves, key: MetricKey, name: str, style: str) -> PlotSeries | None:
    if key not in run.curves:
        return None
    steps, values = run.curves[key]
    return PlotSeries(name, steps, values, style, run.run.selected_step)


def _known(series: Sequence[PlotSeries | None]) -> tuple[PlotSeries, ...]:
    return tuple(each for each in series if each is not None)
