"""``vld curve``: a run's accuracies and loss over its steps, in the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

import typer

from engine.protocol import nearest
from vld_tui.cli.command import Command, RunArgument
from vld_tui.cli.errors import CommandError, check_range
from vld_tui.cli.output import say
from vld_tui.cli.session import open_for_runs
from vld_tui.runs.metrics import MetricSeries
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.views.chart import Curve, Panel, draw
from vld_tui.views.combined import networks, step_label
from vld_tui.words.palette import status_label

WIDTHS: Final = (40, 1_000)
HEIGHTS: Final = (10, 500)
"""Columns and rows in which curves can be drawn and read."""

MOST_POINTS: Final = 16_384
"""Of a curve: many more than a terminal has dots in a line."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)

MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME",
        help="id, ood, loss, domains, a domain's name or an arm's; may be given several times "
        "[default: id, ood and loss].",
    ),
]  # fmt: skip


@app.command(cls=Command)
def curve(
    ctx: typer.Context,
    run: RunArgument,
    metric: MetricOption = None,
    width: Annotated[
        int | None, typer.Option("--width", metavar="N", help="Columns [default: the terminal's].")
    ] = None,
    height: Annotated[
        int | None, typer.Option("--height", metavar="N", help="Rows [default: the terminal's].")
    ] = None,
) -> None:
    """Draw a run's curves, the selected step marked."""
    check_range("--width", width, *WIDTHS)
    check_range("--height", height, *HEIGHTS)
    with open_for_runs(ctx, [run], with_jobs=False) as store:
        known = store.get(run)
        panels = _panels(store, known, metric or _usual_metrics(known))
    if not any(curve.steps for panel in panels for curve in panel.curves):
        if known.id_accuracy is not None and not known.has_ood:
            raise CommandError(
                f"Run {known.run_id} has no OOD accuracy: it trains on every domain."
            )
        raise CommandError(
            f"Run {known.run_id} has measured nothing yet: it is {known.status} at step "
            f"{known.step} of {known.steps}."
        )
    terminal = shutil.get_terminal_size()
    state = status_label(known.status, collapsed=known.collapsed)
    say(f"{known.run_id}  {known.name}  {state}")
    if known.combination is not None:
        say(networks(known.combination))
    typer.echo(
        draw(
            panels,
            selected_step=known.selected_step,
            label=partial(step_label, combination=known.combination),
            cells=width or terminal.columns,
            rows=(height or terminal.lines - 1) - 1,
            colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        ),
        color=True,
    )


def _usual_metrics(run: Run) -> list[str]:
    if run.combination is None:
        return ["id", "ood", "loss"]
    is_whole = run.combination.method == "interpolation" and run.status == "finished"
    return ["id", "ood", *(["representations"] if is_whole else [])]


def _panels(store: Store, run: Run, names: Sequence[str]) -> list[Panel]:
    """Return the panels that show ``names``: accuracies in one, the loss in another.

    Raises:
        CommandError: for a name that is no metric of the run.
    """
    series = store.thinned_series(run.run_id, most=MOST_POINTS, kept_step=run.selected_step)
    of_accuracy = [each for each in series if each.name == "accuracy"]
    domains = sorted({each.domain for each in of_accuracy if not each.is_judged})
    arms = sorted({each.arm for each in of_accuracy} - {run.arm})
    accuracies: list[Curve] = []
    losses: list[Curve] = []
    for name in names:
        if name == "loss":
            losses.append(_curve(series, run.arm, "training", "train", "sources", "loss"))
        elif name in ("id", "ood"):
            accuracies.append(_judged(series, run.arm, name))
        elif name in arms:
            accuracies += [_judged(series, name, each, name) for each in ("id", "ood")]
        elif name == "domains" or name in domains:
            accuracies += [
                _curve(series, run.arm, domain, "in" if domain == run.target else "out", domain)
                for domain in (domains if name == "domains" else [name])
            ]
        else:
            known = ["id", "ood", "loss", "domains", *arms, *domains]
            raise CommandError(
                f"Run {run.run_id} has no metric {name!r}.{nearest(name, known)}\n"
                f"It has: {', '.join(known)}."
            )
    panels = [Panel("accuracy", tuple(accuracies), is_percent=True)] if accuracies else []
    if losses:
        panels.append(Panel("loss", tuple(losses), is_percent=False, has_marks=False))
    return panels


def _judged(series: Sequence[MetricSeries], arm: str, which: str, title: str = "") -> Curve:
    """Return the curve of ID or OOD accuracy of an arm."""
    split = "out" if which == "id" else "in"
    title = f"{title} {which.upper()}".lstrip()
    return _curve(series, arm, title, split, which, is_judged=True)


def _curve(
    series: Sequence[MetricSeries],
    arm: str,
    title: str,
    split: str,
    domain: str,
    name: str = "accuracy",
    *,
    is_judged: bool = False,
) -> Curve:
    """Return a curve of an arm, empty where there is none."""
    wanted = (name, split, domain, arm, is_judged)
    for each in series:
        if (each.name, each.split, each.domain, each.arm, each.is_judged) == wanted:
            points = each.points
            values = tuple(points.at(index) for index in range(len(points.steps)))
            return Curve(title, tuple(points.steps), values)
    return Curve(title, (), ())
