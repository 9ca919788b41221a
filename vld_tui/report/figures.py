"""A report's figures and their captions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engine.protocol import shown_value
from vld_tui.report.accuracy import seeds_text
from vld_tui.report.canvas import (
    COLOURS,
    FAINT,
    INK,
    LINES,
    MARKERS,
    FigureFiles,
    Look,
    add_legend,
    files_of,
    fitting,
    looks,
    panels,
    shown,
    style,
    widen,
)
from vld_tui.runs.statistics import FEWEST, Estimate
from vld_tui.store.fields import shown_name
from vld_tui.study.results.interpolation import ARM_WORDS, Way
from vld_tui.study.results.outcomes import (
    DROPOUT_WORD,
    Outcome,
    Setting,
    grouped,
    in_full,
    settings_of,
    with_ood,
)
from vld_tui.study.results.selection import Cloud, hull, make_cloud
from vld_tui.views.combined import METHOD_FROM
from vld_tui.words.numbers import plural
from vld_tui.words.palette import VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_DRAWN: Final = 5000
"""Maximum drawn points of a cloud; the outline is of all points."""
FEW_POINTS: Final = 300
"""Maximum number of points that are drawn individually visible."""
ROW_INCHES, LOW_ROW_INCHES, MANY_ROWS = 0.16, 0.1, 32
"""Row heights of the figure of targets, for few and for many rows."""
_LABEL_PLACES: Final = ((4, 3), (4, -9), (-4, 3), (-4, -9))
"""Offsets (points) of labels from their marks; chains lie close together."""
_ID_LABEL, _OOD_LABEL = "ID accuracy (%)", "OOD accuracy (%)"


def runs_behind(of_dataset: Mapping[str, Sequence[Cloud]]) -> str:
    """Return the numbers of runs and seeds per setting of each data set, as text."""
    return _told(of_dataset, lambda clouds: f"{_runs(clouds)}.")


def points_behind(of_dataset: Mapping[str, Sequence[Cloud]]) -> str:
    """Return the numbers of runs and points of each cloud, as text."""
    return _told(of_dataset, lambda clouds: f"{_runs(clouds)} give {_points(clouds)}.")


def seeds_behind(results: Sequence[Outcome]) -> str:
    """Return the number of seeds per cell, as text."""
    alike = grouped(results, lambda each: (each.dataset, each.target, each.setting, each.cell))
    counts = [len({each.seed for each in found}) for found in alike.values()]
    return _seeds(min(counts), max(counts))


def bars(estimates: Sequence[Estimate | None]) -> str:
    """Describe the error bars of a figure, and where they are missing."""
    known = [each for each in estimates if each is not None]
    has_two = any(each.has_too_few for each in known)
    if not any(each.half_interval is not None for each in known):
        if has_two:
            return f"no error bars: an interval needs {FEWEST} seeds, not 2"
        return f"no error bars: an interval needs {FEWEST} seeds that have every cell"
    parts = (
        "bars: 95% intervals over seeds on these targets (Student's t)",
        "long bars are cut at the axes",
        f"no bar with only 2 seeds, since an interval needs {FEWEST}",
    )
    return "; ".join(parts if has_two else parts[:2])


def _told(of_dataset: Mapping[str, Sequence[Cloud]], tell: Callable[[Sequence[Cloud]], str]) -> str:
    """Return the text of each data set, merging equal ones."""
    alike: dict[str, list[str]] = {}
    for dataset, clouds in of_dataset.items():
        alike.setdefault(tell(clouds), []).append(dataset)
    return " ".join(f"{', '.join(names)}: {text}" for text, names in alike.items())


def _runs(clouds: Sequence[Cloud]) -> str:
    one = max(clouds, key=lambda cloud: cloud.ways)
    runs = [cloud.runs for cloud in clouds]
    fewest = min(cloud.fewest_seeds for cloud in clouds)
    most = max(cloud.most_seeds for cloud in clouds)
    is_alike = len({(frozenset(cloud.targets), cloud.ways) for cloud in clouds}) == 1
    targets = ("" if is_alike else "up to ") + plural(len(one.targets), "target")
    return (
        f"{seeds_text(min(runs), max(runs))} runs per setting "
        f"({targets}, {plural(max(one.cells), 'cell')}, {_seeds(fewest, most)})"
    )


def _points(clouds: Sequence[Cloud]) -> str:
    one = max(clouds, key=lambda cloud: cloud.ways)
    text = plural(one.ways, "point")
    if one.is_sampled:
        return f"{text}; a random sample of {len(one.ids):,} is plotted"
    return f"{text}; {MOST_DRAWN:,} are plotted" if one.ways > MOST_DRAWN else text


def _seeds(fewest: int, most: int) -> str:
    return f"{seeds_text(fewest, most)} seed{'' if most == 1 else 's'}"


def cloud_picture(clouds: Sequence[Cloud]) -> FigureFiles:
    """Draw the clouds of each data set with their outlines and centres."""
    drawn = looks(list(dict.fromkeys(cloud.setting for cloud in clouds)))
    of_dataset = grouped(clouds, lambda cloud: cloud.dataset)
    with style():
        figure, drawings = panels(len(of_dataset), legend=len(drawn))
        for axes, (dataset, found) in zip(drawings, of_dataset.items(), strict=True):
            for cloud in found:
                _draw_cloud(axes, cloud, drawn[cloud.setting])
            _name_plane(axes, dataset)
        add_legend(figure, drawn)
        files = files_of(figure)
    caption = (
        "Each point: one cell picked per target, averaged over seeds and then targets; "
        "large marks: centres. " + points_behind(of_dataset)
    )
    return FigureFiles("clouds", "Clouds in the ID–OOD plane", caption, files)


def chain_picture(clouds: Sequence[Cloud]) -> FigureFiles | None:
    """Draw the centres joined in order of the compared number, or None without one."""
    field = chain_field([cloud.setting for cloud in clouds])
    if field is None:
        return None
    kinds = list(dict.fromkeys(cloud.setting.without(field) for cloud in clouds))
    drawn = {
        kind: Look(COLOURS[at % len(COLOURS)], MARKERS[at % len(MARKERS)], LINES[at % len(LINES)])
        for at, kind in enumerate(kinds)
    }
    of_dataset = grouped(clouds, lambda cloud: cloud.dataset)
    with style():
        figure, drawings = panels(len(of_dataset), legend=len(drawn) if len(drawn) > 1 else 0)
        for axes, (dataset, found) in zip(drawings, of_dataset.items(), strict=True):
            for kind, chain in grouped(found, lambda c: c.setting.without(field)).items():
                offset = _LABEL_PLACES[kinds.index(kind) % len(_LABEL_PLACES)]
                _draw_chain(axes, chain, field, drawn[kind], offset)
            axes.set_xlim(*fitting([100 * cloud.id_accuracy for cloud in found]))
            axes.set_ylim(*fitting([100 * cloud.ood_accuracy for cloud in found]))
            _name_plane(axes, dataset)
        if len(drawn) > 1:
            add_legend(figure, drawn)
        files = files_of(figure)
    word = DROPOUT_WORD if field == "dropout_rate" else shown_name(field)
    is_numbered = all(_is_number(cloud.setting.value(field)) for cloud in clouds)
    unjoined = "" if is_numbered else " (those without a number are not joined)"
    caption = (
        f"Centres joined in order of {word}{unjoined}; {bars(_estimates(clouds))}. "
        + runs_behind(of_dataset)
    )
    return FigureFiles("chain", f"Centres along {word}", caption, files)


def target_picture(results: Sequence[Outcome]) -> FigureFiles | None:
    """Draw ID and OOD accuracy of each setting on each target; None without a target."""
    full = with_ood(in_full(results))
    if not full:
        return None
    drawn = looks(settings_of(full))
    of_dataset = grouped(full, lambda each: each.dataset)
    lines = max(
        len({each.target for each in found}) * (len(settings_of(found)) + 1)
        for found in of_dataset.values()
    )
    with style():
        height = 0.6 + lines * (ROW_INCHES if lines < MANY_ROWS else LOW_ROW_INCHES)
        figure, drawings = panels(len(of_dataset), legend=len(drawn), height=height)
        for axes, (dataset, found) in zip(drawings, of_dataset.items(), strict=True):
            _draw_targets(axes, found, drawn)
            shares = [
                100 * share
                for each in found
                for share in (each.id_accuracy, each.ood_accuracy)
                if share is not None
            ]
            axes.set_xlim(*fitting(shares))
            axes.set_title(shown(dataset))
            axes.set_xlabel("accuracy (%): filled OOD, hollow ID")
        add_legend(figure, drawn)
        files = files_of(figure)
    runs = len({each.run_id for each in full})
    of_place = grouped(full, lambda each: (each.dataset, each.target, each.setting)).values()
    told = bars(_estimates([make_cloud(each) for each in of_place]))
    caption = (
        f"Mean over cells of the mean over seeds, per target; {told}. "
        f"{plural(runs, 'run')}, {seeds_behind(full)}."
    )
    return FigureFiles("targets", "Accuracy by target", caption, files)


def way_picture(ways: Sequence[Way]) -> FigureFiles:
    """Draw accuracy along the line between two networks."""
    styles = {"interpolation": "-", "representations": "--"}
    colours = {"id": INK, "ood": VERMILION}
    with style():
        figure, drawings = panels(len(ways), legend=2)
        for axes, way in zip(drawings, ways, strict=True):
            for curve in way.curves:
                axes.plot(
                    curve.shares, 100 * np.array(curve.accuracies), styles[curve.arm], marker="o",
                    markersize=2.5, color=colours[curve.domain],
                    label=f"{ARM_WORDS[curve.arm]}, {curve.domain.upper()}",
                )  # fmt: skip
            axes.set_title(shown(f"{way.dataset} · {way.target}"))
            axes.set_xlabel("share of the second network")
            axes.set_ylabel("accuracy (%)")
            widen(axes)
        legends = [axes.get_legend_handles_labels() for axes in drawings]
        handles, labels = max(legends, key=lambda each: len(each[1]))  # some have no OOD
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        files = files_of(figure)
    caption = (
        "Accuracy of weights, and of representations, between two networks: "
        + "; ".join(_way_words(way) for way in ways)
        + "."
    )
    return FigureFiles("interpolation", "Interpolation between networks", caption, files)


def _way_words(way: Way) -> str:
    method = "" if way.starts_at is None else f" ({METHOD_FROM[way.starts_at]})"
    return f"{way.dataset}, target {way.target}: run {way.run_id}{method}"


def chain_field(settings: Sequence[Setting]) -> str | None:
    """Return the compared field that the chain follows: the first number with several values,
    the dropout rate before any other."""
    values: dict[str, set[object]] = {}
    for setting in settings:
        for name, value in setting.values:
            if _is_number(value):
                values.setdefault(name, set()).add(value)
    several = [name for name, found in values.items() if len(found) > 1]
    return min(several, key=lambda name: name != "dropout_rate", default=None)


def _value_words(value: object) -> str:
    return f"{value:g}" if _is_number(value) else shown(shown_value(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _draw_cloud(axes: Axes, cloud: Cloud, look: Look) -> None:
    ids, oods = 100 * cloud.ids, 100 * cloud.oods
    if len(ids) > 1:
        kept = np.random.default_rng(0).permutation(len(ids))[:MOST_DRAWN]
        is_dense = len(ids) > FEW_POINTS
        axes.scatter(
            ids[kept], oods[kept], s=2.5 if is_dense else 7, alpha=0.25 if is_dense else 0.5,
            color=look.colour, linewidths=0, rasterized=is_dense,
        )  # fmt: skip
        corners = hull(ids, oods)
        closed = np.concatenate([corners, corners[:1]])
        axes.plot(closed[:, 0], closed[:, 1], look.line, color=look.colour, linewidth=0.7)
        axes.fill(corners[:, 0], corners[:, 1], color=look.colour, alpha=0.08, linewidth=0)
    _mark(axes, cloud, look, size=6.5)


def _draw_chain(
    axes: Axes, chain: Sequence[Cloud], field: str, look: Look, offset: tuple[int, int]
) -> None:
    """Join the centres that have a number; others, such as ``none``, are drawn separately."""

    def place_in_chain(cloud: Cloud) -> tuple[bool, Any]:
        value = cloud.setting.value(field)
        return (False, value) if _is_number(value) else (True, shown_value(value))

    ordered = sorted(chain, key=place_in_chain)
    joined = sum(_is_number(cloud.setting.value(field)) for cloud in chain)
    ids = [100 * cloud.id_accuracy for cloud in ordered]
    oods = [100 * cloud.ood_accuracy for cloud in ordered]
    axes.errorbar(
        ids, oods, xerr=[_bar(cloud.id_estimate) for cloud in ordered],
        yerr=[_bar(cloud.ood_estimate) for cloud in ordered], fmt="none", ecolor=look.colour,
        elinewidth=0.6, alpha=0.5,
    )  # fmt: skip
    axes.plot(ids[:joined], oods[:joined], look.line, color=look.colour, linewidth=1, zorder=2.5)
    for cloud, x, y in zip(ordered, ids, oods, strict=True):
        _mark(axes, cloud, look, size=5.5)
        axes.annotate(
            _value_words(cloud.setting.value(field)), (x, y), textcoords="offset points",
            xytext=offset, ha="left" if offset[0] > 0 else "right", fontsize=7, color=look.colour,
        )  # fmt: skip


def _draw_targets(axes: Axes, results: Sequence[Outcome], drawn: dict[Setting, Look]) -> None:
    """Draw a row per target and setting, targets from the top."""
    settings = settings_of(results)
    of_place = grouped(results, lambda each: (each.target, each.setting))
    targets = list(dict.fromkeys(each.target for each in results))
    step = len(settings) + 1
    for at, setting in enumerate(settings):
        known = [number for number, t in enumerate(targets) if (t, setting) in of_place]
        found = [make_cloud(of_place[targets[number], setting]) for number in known]
        heights = [-(number * step + at) for number in known]
        look = drawn[setting]
        for accuracies, spreads, face in (
            ([c.id_accuracy for c in found], [c.id_estimate for c in found], "white"),
            ([c.ood_accuracy for c in found], [c.ood_estimate for c in found], look.colour),
        ):
            axes.errorbar(
                100 * np.array(accuracies), heights, xerr=[_bar(each) for each in spreads],
                fmt=look.marker, markersize=4, color=look.colour, markerfacecolor=face,
                markeredgewidth=0.8, elinewidth=0.7,
            )  # fmt: skip
    middles = [-(number * step + (step - 2) / 2) for number in range(len(targets))]
    axes.set_yticks(middles, [shown(target, 20) for target in targets])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-(len(targets) * step) + 1.2, 0.8)
    for number in range(1, len(targets)):
        axes.axhline(1 - number * step, color=FAINT, linewidth=0.4)
    axes.grid(axis="x", color=FAINT, alpha=0.3, linewidth=0.4)


def _mark(axes: Axes, cloud: Cloud, look: Look, *, size: float) -> None:
    axes.plot(
        [100 * cloud.id_accuracy], [100 * cloud.ood_accuracy], look.marker, color=look.colour,
        markersize=size, markeredgecolor="white", markeredgewidth=0.8, zorder=3,
    )  # fmt: skip


def _estimates(clouds: Sequence[Cloud]) -> list[Estimate | None]:
    return [each for cloud in clouds for each in (cloud.id_estimate, cloud.ood_estimate)]


def _bar(found: Estimate | None) -> float:
    half = None if found is None else found.half_interval
    return 0.0 if half is None else 100 * half


def _name_plane(axes: Axes, dataset: str) -> None:
    axes.set_title(shown(dataset))
    axes.set_xlabel(_ID_LABEL)
    axes.set_ylabel(_OOD_LABEL)
    axes.margins(0.08)
    widen(axes)
