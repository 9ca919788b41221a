"""``vld curve``: plot a run's accuracies and loss in the terminal."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Final

import numpy as np
import typer
from rich.text import Text

from engine.protocol import MEASURES, MetricKey, nearest
from engine.protocol.measures import ACCURACY, SYSTEM
from engine.protocol.system import SYSTEM_METRICS
from vld_tui.cli.command import Command, RunArgument
from vld_tui.cli.errors import CommandError, check_range
from vld_tui.cli.output import plain_console, say
from vld_tui.cli.session import find_imported_instead, open_for_runs
from vld_tui.runs.imported import ImportedRun
from vld_tui.runs.metrics import Points
from vld_tui.runs.run import Run
from vld_tui.store.errors import RunNotFound
from vld_tui.store.store import Store
from vld_tui.views.combined import networks, position_label, step_label
from vld_tui.views.plot import Plot, PlotSeries, View
from vld_tui.views.raster import PlotAxis
from vld_tui.views.system import PANELS, no_samples
from vld_tui.words.palette import (
    ID_STYLE,
    OOD_STYLE,
    SERIES_DASHES,
    SOLID,
    series_look,
    status_label,
)

WIDTHS: Final = (40, 1_000)
HEIGHTS: Final = (10, 500)
"""The smallest and largest plot, in columns and rows."""

MIN_PANEL_ROWS: Final = 8

MOST_POINTS: Final = 16_384
"""The most points read for one curve, far more than a terminal line can show."""

MOST_IMPORTED: Final = 3
"""The most curves shown of an imported run if none is named."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)

MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME",
        help=f"id, ood, loss, domains, {', '.join(MEASURES)}, or the name of a domain or "
        "prediction. [repeatable; default: id, ood and loss]",
    ),
]  # fmt: skip
WidthOption = Annotated[
    int | None,
    typer.Option("--width", metavar="N", help="Width (columns). [default: the terminal's]"),
]
HeightOption = Annotated[
    int | None,
    typer.Option("--height", metavar="N", help="Height (rows). [default: the terminal's]"),
]
SystemOption = Annotated[
    bool,
    typer.Option(
        "--system", help="Plot processor, memory, GPU and disk use, and where the time went."
    ),
]


@app.command(cls=Command)
def curve(
    ctx: typer.Context,
    run: RunArgument,
    metric: MetricOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    system: SystemOption = False,
) -> None:
    """Plot a run's curves and mark the selected step."""
    if system and metric:
        raise CommandError("--metric and --system cannot be combined.")
    check_range("--width", width, *WIDTHS)
    check_range("--height", height, *HEIGHTS)
    terminal = shutil.get_terminal_size()
    size = max(WIDTHS[0], width or terminal.columns), (height or terminal.lines - 1) - 1
    try:
        opened = open_for_runs(ctx, [run], with_jobs=False)
    except RunNotFound as error:
        imported = find_imported_instead(ctx, run, error)
        if system:
            reason = f"Imported run {imported.run_id} has no measurements of the machine."
            raise CommandError(reason) from None
        panels = _imported_panels(imported, metric or [])
        say(f"{imported.run_id}  {imported.name}  imported from {imported.tracker}")
        _draw(panels, *size)
        return
    with opened as store:
        known = store.runs.get(run)
        panels = (
            _system_panels(store, known)
            if system
            else _panels(store, known, metric or _usual_metrics(known))
        )
    if not panels:
        raise CommandError(no_samples([known]) if system else _why_empty(known))
    state = status_label(known.status, collapsed=known.collapsed)
    say(f"{known.run_id}  {known.label}  {state}")
    if known.combination is not None:
        say(networks(known.combination))
    _draw(panels, *size)


def _why_empty(run: Run) -> str:
    if run.id_accuracy is not None and not run.has_ood:
        return f"Run {run.run_id} has no OOD accuracy: it trained on every domain."
    position = position_label(run.step, run.task, of_all=True)
    return f"Run {run.run_id} has no measurements yet: it is {run.status} at {position}."


def _usual_metrics(run: Run) -> list[str]:
    if run.combination is None:
        return ["id", "ood", "loss"]
    is_whole = run.combination.method == "interpolation" and run.status == "finished"
    return ["id", "ood", *(["representations"] if is_whole else [])]


def _panels(store: Store, run: Run, names: Sequence[str]) -> list[Plot]:
    """Return the charts that show ``names``: accuracies in one, then each measure, then the loss.

    Raises:
        CommandError: for a name that is not a metric of the run.
    """
    series = store.series.thinned(run.run_id, most=MOST_POINTS, kept_step=run.selected_step)
    known = _known(run, dict(series))
    charts: dict[str, list[PlotSeries]] = {
        ACCURACY: [],
        **{name: [] for name in MEASURES},
        "loss": [],
    }
    for name in names:
        if name not in known:
            raise CommandError(
                f"Run {run.run_id} has no metric {name!r}.{nearest(name, known)}\n"
                f"Its metrics: {', '.join(known)}."
            )
        charts[name if name in charts else ACCURACY] += known[name]
    drawn = {
        title: _coloured([replace(series, marked_x=run.selected_step) for series in each])
        for title, each in charts.items()
        if any(len(series.x) for series in each)
    }
    every = tuple(itertools.chain(*drawn.values()))
    return [
        Plot(
            title.replace("_", " "),
            each,
            View(cursor=run.selected_step),
            aligned=every,
            length=run.steps,
            step_name=partial(step_label, task=run.task),
            is_percent=title != "loss"
            and (title not in MEASURES or MEASURES[title].unit == "share"),
            has_marks=title != "loss",
            is_colourless=_is_colourless(),
        )
        for title, each in drawn.items()
    ]


def _system_panels(store: Store, run: Run) -> list[Plot]:
    """Return the charts of what the run used of its machine, over the same steps."""
    curves = dict(store.series.all(run.run_id, split=SYSTEM))
    drawn = {}
    for panel in PANELS:
        metrics = [SYSTEM_METRICS[name] for name in panel.metrics]
        known = [each for each in metrics if each.key in curves]
        if known:
            drawn[panel] = _coloured([_curve(curves, each.short_title, each.key) for each in known])
    every = tuple(itertools.chain(*drawn.values()))
    return [
        Plot(
            panel.title,
            series,
            aligned=every,
            length=run.steps,
            step_name=partial(step_label, task=run.task),
            is_percent=panel.is_percent,
            has_marks=len(series) > 1,
            is_colourless=_is_colourless(),
        )
        for panel, series in drawn.items()
    ]


def _imported_panels(run: ImportedRun, names: Sequence[str]) -> list[Plot]:
    """Return the charts of an imported run: ID and OOD accuracy in one, each other curve in its
    own; without names, the accuracies, or else the first curves.

    Raises:
        CommandError: for a name that is not a curve of the run.
    """
    judged = {
        name: (title, curve)
        for name, title, curve in (("id", "ID", run.id_curve), ("ood", "OOD", run.ood_curve))
        if curve is not None
    }
    known = {**judged, **{name: (name, name) for name in run.curves if name not in judged}}
    view = View(across=PlotAxis(0, max(1.0, float(run.step))), cursor=run.selected_step)
    together: list[PlotSeries] = []
    charts: list[Plot] = []
    for name in names or list(judged) or list(run.curves)[:MOST_IMPORTED]:
        if name not in known:
            raise CommandError(
                f"Imported run {run.run_id} has no curve {name!r}.{nearest(name, known)}\n"
                f"Its curves: {', '.join(known)}."
            )
        title, curve = known[name]
        steps = np.array(run.curves[curve].steps, dtype=np.float64)
        values = np.array(run.curves[curve].values, dtype=np.float64)  # None becomes NaN
        if name in judged:
            style = ID_STYLE if name == "id" else OOD_STYLE
            together.append(PlotSeries(title, steps, values / run.scale, style))
        else:
            charts.append(Plot(title, _coloured([PlotSeries(title, steps, values, "")]), view))
    if together:
        charts.insert(0, Plot(ACCURACY, tuple(together), view, is_percent=True, has_marks=True))
    return [replace(chart, is_colourless=_is_colourless()) for chart in charts]


def _known(run: Run, curves: Mapping[MetricKey, Points]) -> dict[str, list[PlotSeries]]:
    """Return the curves that each name stands for."""
    own = run.arm
    keys = [key for key in curves if key.name == ACCURACY]
    domains = {
        domain: [_curve(curves, domain, _split_key(run, domain))]
        for domain in sorted({key.domain for key in keys if not key.is_judged})
    }
    arms = sorted({key.arm for key in keys} - {own})
    both = _judged(curves, own)
    fixed = {
        "id": both[:1],
        "ood": both[1:],
        "loss": [_curve(curves, "training", MetricKey.loss(own), ID_STYLE)],
        "domains": [series for each in domains.values() for series in each],
        **{
            name: _judged(curves, own, measure=name)
            for name in MEASURES
            if any(key.name == name for key in curves)
        },
    }
    dashes = itertools.cycle(SERIES_DASHES[1:])
    of_arms = {arm: _judged(curves, arm, f"{arm} ", dash=next(dashes)) for arm in arms}
    return {**fixed, **domains, **of_arms, **fixed}  # no domain's name hides a fixed one


def _split_key(run: Run, domain: str) -> MetricKey:
    """Return the accuracy on the split of a domain that is reported."""
    return MetricKey(ACCURACY, "in" if domain == run.target else "out", domain, run.arm)


def _coloured(series: Sequence[PlotSeries]) -> tuple[PlotSeries, ...]:
    """Return curves with an appearance of their own unless they have one."""
    looks = map(series_look, itertools.count())
    return tuple(
        each if each.style else replace(each, style=(look := next(looks)).colour, dash=look.dash)
        for each in series
    )


def _is_colourless() -> bool:
    console = plain_console()
    return console.no_color or console.color_system is None


def _judged(
    curves: Mapping[MetricKey, Points],
    arm: str,
    prefix: str = "",
    measure: str = ACCURACY,
    dash: tuple[int, ...] = SOLID,
) -> list[PlotSeries]:
    """Return the curves of an arm's ID and OOD values."""
    id_curve = _curve(curves, f"{prefix}ID", MetricKey.id(arm, measure), ID_STYLE)
    ood_curve = _curve(curves, f"{prefix}OOD", MetricKey.ood(arm, measure), OOD_STYLE)
    return [replace(each, dash=dash) for each in (id_curve, ood_curve)]


def _curve(
    curves: Mapping[MetricKey, Points], title: str, key: MetricKey, style: str = ""
) -> PlotSeries:
    """Return a curve, empty where there is none."""
    points = curves.get(key, Points.none())
    return PlotSeries(
        title,
        np.array(points.steps, dtype=np.float64),
        np.array(points.values, dtype=np.float64),
        style,
    )


def _draw(panels: Sequence[Plot], cells: int, rows: int) -> None:
    """Print charts one below the other in so many columns and rows."""
    console = plain_console()
    for panel, panel_rows in zip(panels, _share_rows(len(panels), rows), strict=True):
        for line in panel.lines(cells, panel_rows):
            text = Text.assemble(*((each.text, each.style or "") for each in line))
            text.rstrip()
            console.print(text, soft_wrap=True)


def _share_rows(panels: int, rows: int) -> list[int]:
    """Share the rows out: the first of several panels gets about two thirds of them."""
    rows = max(rows, MIN_PANEL_ROWS * panels)
    if panels == 1:
        return [rows]
    others = max(MIN_PANEL_ROWS, rows * 3 // 8 // (panels - 1))
    return [rows - others * (panels - 1)] + [others] * (panels - 1)
