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
from engine.protocol.system import SYSTEM_METRICS
from vld_tui.dashboard.feed import RunCurves
from vld_tui.study.results.groups import RunGroup, distinctions, group_by_seed, group_labels
from vld_tui.views.plot import PlotSeries
from vld_tui.views.system import COMPARED_PANELS, PANELS, Panel
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, SERIES_DASHES, Look, series_look

KeyOfArm = Callable[[str], MetricKey]
LookOfRuns = Callable[[Sequence[str], int], Look]
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
    look_of = partial(_look_of, places)
    if len(watched) == 1:
        (run,) = watched
        own = run.run.arm
        accuracies = (
            _series(run, MetricKey.id(own), "ID", Look(ID_STYLE)),
            _series(run, MetricKey.ood(own), "OOD", Look(OOD_STYLE)),
            *_arms(run),
        )
        loss = _series(run, MetricKey.loss(own), "training", Look(ID_STYLE))
        return (
            ChartContent("accuracy", _known(accuracies)),
            ChartContent("domains", _domains(run)),
            ChartContent("loss", _known([loss])),
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


def system_contents(
    watched: Sequence[RunCurves], *, places: Mapping[str, int] = NO_PLACES
) -> dict[Panel, ChartContent]:
    """Return the charts of what runs used of their machine: of one run with several values in
    each, of several runs with one value of each run."""
    if len(watched) != 1:
        look_of = partial(_look_of, places)
        contents = {}
        for panel in COMPARED_PANELS:
            key_of = partial(_same_key, SYSTEM_METRICS[panel.metrics[0]].key)
            contents[panel] = ChartContent(panel.title, _of_runs(watched, key_of, look_of))
        return contents
    contents = {}
    for panel in PANELS:
        metrics = [SYSTEM_METRICS[name] for name in panel.metrics]
        series = _known(
            [
                _series(watched[0], each.key, each.short_title, series_look(at))
                for at, each in enumerate(metrics)
            ]
        )
        contents[panel] = ChartContent(panel.title, series)
    return contents


def _same_key(key: MetricKey, _arm: str) -> MetricKey:
    return key


def _look_of(places: Mapping[str, int], run_ids: Sequence[str], at: int) -> Look:
    """Return the appearance of runs: by their place in the list, or by ``at`` if not marked."""
    found = [places[each] for each in run_ids if each in places]
    return series_look(min(found, default=at))


def _of_runs(
    watched: Sequence[RunCurves], key_of: KeyOfArm, look_of: LookOfRuns
) -> tuple[PlotSeries, ...]:
    runs = [each.run for each in watched]
    told = distinctions([run.name for run in runs], runs)
    return _known(
        [
            _series(
                each, key_of(each.run.arm), each.run.name + told[at], look_of([each.run.run_id], at)
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
    for at, (group, label) in enumerate(zip(groups, group_labels(groups), strict=True)):
        look = look_of([run.run_id for run in group.runs], at)
        found = [curves[run.run_id] for run in group.runs if run.run_id in curves]
        known = [each.curves[key] for each in found if (key := key_of(each.run.arm)) in each.curves]
        if not known:
            continue
        steps = functools.reduce(np.intersect1d, [steps for steps, _ in known])
        values = np.stack([of_run[np.isin(of_steps, steps)] for of_steps, of_run in known])
        mean = values.mean(axis=0)
        if len(known) > 1:
            deviation = values.std(axis=0, ddof=1)
            for bound in (mean - deviation, mean + deviation):
                yield PlotSeries("", steps, bound, f"dim {look.colour}", is_bound=True)
        yield PlotSeries(label, steps, mean, look.colour, dash=look.dash, mark=look.mark)


def _arms(run: RunCurves) -> Iterator[PlotSeries]:
    """Yield ID and OOD accuracy of additional arms, each in a line pattern of its own."""
    arms = sorted({key.arm for key in run.curves if key == MetricKey.id(key.arm)} - {run.run.arm})
    for index, arm in enumerate(arms):
        dash = SERIES_DASHES[(1 + index) % len(SERIES_DASHES)]
        score = selection_key(run.run.spec, arm)
        steps, values = run.curves.get(score, run.curves[MetricKey.id(arm)])
        selected = int(steps[np.nan_to_num(values, nan=-np.inf).argmax()])
        for key, title, style in (
            (MetricKey.id(arm), "ID", ID_STYLE), (MetricKey.ood(arm), "OOD", OOD_STYLE)
        ):  # fmt: skip
            if key in run.curves:  # no OOD accuracy without a target
                values_of = run.curves[key]
                yield PlotSeries(
                    f"{title} {arm}", *values_of, style, selected, dash=dash, times=run.times
                )


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
    looks = {domain: series_look(place) for place, domain in enumerate(others)}
    return _known(
        [
            _series(
                run,
                MetricKey(ACCURACY, split_of.get(domain, "out"), domain, own),
                domain,
                looks.get(domain, Look(OOD_STYLE)),
            )
            for domain in domains
        ]
    )


def _series(run: RunCurves, key: MetricKey, name: str, look: Look) -> PlotSeries | None:
    if key not in run.curves:
        return None
    steps, values = run.curves[key]
    return PlotSeries(
        name, steps, values, look.colour, None if key.is_system else run.run.selected_step,
        dash=look.dash, mark=look.mark, times=run.times,
    )  # fmt: skip


def _known(series: Sequence[PlotSeries | None]) -> tuple[PlotSeries, ...]:
    return tuple(each for each in series if each is not None)
