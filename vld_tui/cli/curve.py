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
from engine.protocol.measures import ACCURACY
from vld_tui.cli.command import Command, RunArgument
from vld_tui.cli.errors import CommandError, check_range
from vld_tui.cli.output import plain_console, say
from vld_tui.cli.session import open_for_runs
from vld_tui.runs.metrics import Points
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.views.combined import networks, position_label, step_label
from vld_tui.views.plot import Plot, PlotSeries, View
from vld_tui.views.raster import PlotAxis
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, SERIES_STYLES, status_label

WIDTHS: Final = (40, 1_000)
HEIGHTS: Final = (10, 500)
"""The smallest and largest plot, in columns and rows."""

MIN_PANEL_ROWS: Final = 8

MOST_POINTS: Final = 16_384
"""The most points read for one curve, far more than a terminal line can show."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)

MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME",
        help=f"id, ood, loss, domains, {', '.join(MEASURES)}, or the name of a domain or an arm. "
        "[repeatable; default: id, ood and loss]",
    ),
]  # fmt: skip


@app.command(cls=Command)
def curve(
    ctx: typer.Context,
    run: RunArgument,
    metric: MetricOption = None,
    width: Annotated[
        int | None,
        typer.Option("--width", metavar="N", help="Width (columns). [default: the terminal's]"),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option("--height", metavar="N", help="Height (rows). [default: the terminal's]"),
    ] = None,
) -> None:
    """Plot a run's curves and mark the selected step."""
    check_range("--width", width, *WIDTHS)
    check_range("--height", height, *HEIGHTS)
    with open_for_runs(ctx, [run], with_jobs=False) as store:
        known = store.runs.get(run)
        panels = _panels(store, known, metric or _usual_metrics(known))
    if not any(len(each.x) for panel in panels for each in panel.series):
        if known.id_accuracy is not None and not known.has_ood:
            raise CommandError(
                f"Run {known.run_id} has no OOD accuracy: it trained on every domain."
            )
        raise CommandError(
            f"Run {known.run_id} has no measurements yet: it is {known.status} at "
            f"{position_label(known.step, known.task, of_all=True)}."
        )
    terminal = shutil.get_terminal_size()
    state = status_label(known.status, collapsed=known.collapsed)
    say(f"{known.run_id}  {known.name}  {state}")
    if known.combination is not None:
        say(networks(known.combination))
    _draw(panels, max(WIDTHS[0], width or terminal.columns), (height or terminal.lines - 1) - 1)


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
    drawn = {title: each for title, each in charts.items() if each}
    lasts = [float(each.x[-1]) for each in itertools.chain(*drawn.values()) if len(each.x)]
    view = View(across=PlotAxis(0, max([1.0, *lasts])), cursor=run.selected_step)
    return [
        Plot(
            title.replace("_", " "),
            _coloured(each),
            view,
            step_name=partial(step_label, task=run.task),
            is_percent=title != "loss",
            has_marks=title != "loss",
        )
        for title, each in drawn.items()
    ]


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
        "loss": [_curve(curves, "training", MetricKey.loss(own))],
        "domains": [series for each in domains.values() for series in each],
        **{
            name: _judged(curves, own, measure=name)
            for name in MEASURES
            if any(key.name == name for key in curves)
        },
    }
    of_arms = {arm: _judged(curves, arm, f"{arm} ") for arm in arms}
    return {**fixed, **domains, **of_arms, **fixed}  # no domain's name hides a fixed one


def _split_key(run: Run, domain: str) -> MetricKey:
    """Return the accuracy on the split of a domain that is reported."""
    return MetricKey(ACCURACY, "in" if domain == run.target else "out", domain, run.arm)


def _coloured(series: Sequence[PlotSeries]) -> tuple[PlotSeries, ...]:
    """Return curves in colours of their own, those of ID and OOD accuracy as everywhere."""
    others = itertools.cycle(SERIES_STYLES[2:])
    fixed = {"ID": ID_STYLE, "training": ID_STYLE, "OOD": OOD_STYLE}
    return tuple(replace(each, style=fixed.get(each.name) or next(others)) for each in series)


def _judged(
    curves: Mapping[MetricKey, Points], arm: str, prefix: str = "", measure: str = ACCURACY
) -> list[PlotSeries]:
    """Return the curves of an arm's ID and OOD values."""
    return [
        _curve(curves, f"{prefix}ID", MetricKey.id(arm, measure)),
        _curve(curves, f"{prefix}OOD", MetricKey.ood(arm, measure)),
    ]


def _curve(curves: Mapping[MetricKey, Points], title: str, key: MetricKey) -> PlotSeries:
    """Return a curve, empty where there is none."""
    points = curves.get(key, Points.none())
    return PlotSeries(
        title,
        np.array(points.steps, dtype=np.float64),
        np.array(points.values, dtype=np.float64),
        "",
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
