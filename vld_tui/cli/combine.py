"""``vld combine``: combine finished runs by soup, Model Stock, ensemble or interpolation."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from engine.protocol import PRETRAINED
from vld_tui.cli.command import Command, Group, JsonOption, RunsOrNone, proposes, run_argument
from vld_tui.cli.errors import CommandError
from vld_tui.cli.follow import DetachOption, start_new
from vld_tui.cli.network import checkpoint_named
from vld_tui.cli.options import FinishedOption, with_options
from vld_tui.cli.output import NextCommands, say
from vld_tui.cli.run import NameOption, QueueOption, TagOption
from vld_tui.cli.session import open_store
from vld_tui.control.combine import (
    CHECKPOINTS,
    Method,
    choose_matching,
    plan_combination,
)
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.words.numbers import plural

MOST_COMPARED: Final = 4
"""The most runs that the suggested ``vld compare`` command lists."""

app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None)

AtOption = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="WHICH",
        help="Checkpoint to use: best (the selected step) or last (the final weights, as in "
        "arXiv 2403.00946). [default: best]",
        show_default=False,
        autocompletion=proposes(CHECKPOINTS),
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="TEXT",
        help="auto, cpu, cuda, cuda:N or mps. [default: the first run's]",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Launching:
    """The options that every combination has: its checkpoint, name, tags, device and start."""

    at: AtOption = "best"
    name: NameOption = None
    tag: TagOption = None
    device: DeviceOption = None
    detach: DetachOption = False
    queue: QueueOption = False
    as_json: JsonOption = False

    def go(
        self,
        store: Store,
        method: Method,
        runs: Sequence[Run],
        *,
        points: int = 11,
        from_pretrained: bool = False,
        probe: bool = False,
    ) -> None:
        """Create the run, then start or queue it."""
        task = plan_combination(
            store, method, runs, at=checkpoint_named(self.at), points=points,
            from_pretrained=from_pretrained, probe=probe, device=self.device,
        )  # fmt: skip
        made = store.runs.create(task, name=self.name, tags=self.tag or (), is_queued=self.queue)
        start_new(
            store, made, queue=self.queue, detach=self.detach, as_json=self.as_json,
            following=_following(method, runs),
        )  # fmt: skip

    def go_with(
        self, ctx: typer.Context, method: Method, names: list[str] | None, where: str | None
    ) -> None:
        """Combine the runs that are named or that match."""
        with open_store(ctx) as store:
            self.go(store, method, _choose(store, names, where))


def _with_launching(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` the options of :class:`Launching`, which arrive in ``given``."""
    options = inspect.signature(Launching, eval_str=True).parameters.values()
    return with_options(function, options)


@app.command(cls=Command, help="Average the weights (model soup).")
@_with_launching
def soup(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    where: FinishedOption = None,
    greedy: Annotated[
        bool,
        typer.Option(
            "--greedy",
            help="Greedy soup (Model soups, algorithm 1): add runs in order of ID accuracy, best "
            "first (ties in the order given), and keep each that does not lower ID accuracy.",
        ),
    ] = False,
    **given: Any,
) -> None:
    """Create a run whose weights are the mean of other runs' weights."""
    Launching(**given).go_with(ctx, "greedy_soup" if greedy else "soup", runs, where)


@app.command(cls=Command, help="Average, then move towards the initial weights (Model Stock).")
@_with_launching
def stock(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    where: FinishedOption = None,
    **given: Any,
) -> None:
    """Create a run whose weights are those of Model Stock: see :mod:`engine.combine.stock`."""
    Launching(**given).go_with(ctx, "stock", runs, where)


@app.command(cls=Command, help="Average the logits (ensemble).")
@_with_launching
def ensemble(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    where: FinishedOption = None,
    **given: Any,
) -> None:
    """Create a run that predicts with the mean of other runs' logits."""
    Launching(**given).go_with(ctx, "ensemble", runs, where)


@app.command(cls=Command, help="Evaluate networks on the line between two.")
@_with_launching
def interpolate(
    ctx: typer.Context,
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A run, or 'pretrained': the network that B started from (WiSE-FT); if B's last "
            "layer started at random, a linear probe.",
            show_default=False,
            autocompletion=proposes("runs"),
        ),
    ],
    second: Annotated[str, run_argument("B", "A run.")],
    points: Annotated[
        int,
        typer.Option(
            "--points", metavar="N", help="Points to evaluate, including both ends (2 to 101)."
        ),
    ] = 11,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="With 'pretrained': always start from a linear probe (a new last layer, trained "
            "alone).",
        ),
    ] = False,
    **given: Any,
) -> None:
    """Create a run that evaluates interpolations between two networks."""
    from_pretrained = first == PRETRAINED
    if probe and not from_pretrained:
        raise CommandError(f"--probe needs {PRETRAINED!r} as A, not {first!r}; drop --probe.")
    with open_store(ctx) as store:
        names = [second] if from_pretrained else [first, second]
        Launching(**given).go(
            store, "interpolation", _choose(store, names, None),
            points=points, from_pretrained=from_pretrained, probe=probe,
        )  # fmt: skip


def _choose(store: Store, names: list[str] | None, where: str | None) -> Sequence[Run]:
    """Return the runs that are named or that match, and report the ones left out."""
    if bool(names) == (where is not None):
        raise CommandError("Name the runs to combine, or select them with --where (not both).")
    store.live.refresh()
    if where is None:
        return [store.runs.get(name) for name in names or ()]
    chosen = choose_matching(store, store.runs.query(where))
    counts = {"unfinished run": chosen.unfinished, "combining run": chosen.combining}
    if left_out := [plural(count, what) for what, count in counts.items() if count]:
        say(f"Left out: {' and '.join(left_out)}.", to_stderr=True)
    return chosen.runs


def _following(method: Method, runs: Sequence[Run]) -> NextCommands:
    """Return the next commands to suggest."""
    compared = shlex.join(["vld", "compare", *(run.run_id for run in runs), "@last"])
    show = ("vld show @last", "all settings and results")
    if method == "interpolation":
        return [("vld curve @last", "accuracy at each point, in percent of B"), show]
    if len(runs) > MOST_COMPARED:
        return [show]
    return [show, (compared, "compare it with the runs it combines")]
