"""``vld combine``: combine finished runs by soup, ensemble or interpolation."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from engine.protocol import PRETRAINED
from vld_tui.cli.command import Command, Group, JsonOption, RunsOrNone, proposes, run_argument
from vld_tui.cli.errors import CommandError
from vld_tui.cli.filters import FinishedOption
from vld_tui.cli.follow import start_new
from vld_tui.cli.output import NextCommands, say
from vld_tui.cli.run import DetachOption, NameOption, QueueOption, TagOption
from vld_tui.cli.session import open_store
from vld_tui.control.combine import (
    CHECKPOINTS,
    Checkpoint,
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
        autocompletion=proposes("checkpoints"),
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


class Launching:
    """The name, tags and start options of a combining run."""

    def __init__(
        self, name: str | None, tag: list[str] | None, *, detach: bool, queue: bool, as_json: bool
    ) -> None:
        self._name, self._tags = name, tag or ()
        self._detach, self._queue, self._as_json = detach, queue, as_json

    def go(
        self,
        store: Store,
        method: Method,
        runs: Sequence[Run],
        *,
        at: str,
        device: str | None,
        points: int = 11,
        from_pretrained: bool = False,
        probe: bool = False,
    ) -> None:
        """Create the run, then start or queue it."""
        task = plan_combination(
            store, method, runs, at=_checkpoint(at), points=points,
            from_pretrained=from_pretrained, probe=probe, device=device,
        )  # fmt: skip
        made = store.runs.create(task, name=self._name, tags=self._tags, is_queued=self._queue)
        start_new(
            store, made, queue=self._queue, detach=self._detach, as_json=self._as_json,
            following=_following(method, runs),
        )  # fmt: skip


@app.command(
    cls=Command,
    help="Average the weights (model soup).",
)
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
    at: AtOption = "best",
    name: NameOption = None,
    tag: TagOption = None,
    device: DeviceOption = None,
    detach: DetachOption = False,
    queue: QueueOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a run whose weights are the mean of other runs' weights."""
    launching = Launching(name, tag, detach=detach, queue=queue, as_json=as_json)
    with open_store(ctx) as store:
        chosen = _choose(store, runs, where)
        method: Method = "greedy_soup" if greedy else "soup"
        launching.go(store, method, chosen, at=at, device=device)


@app.command(cls=Command, help="Average the logits (ensemble).")
def ensemble(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    where: FinishedOption = None,
    at: AtOption = "best",
    name: NameOption = None,
    tag: TagOption = None,
    device: DeviceOption = None,
    detach: DetachOption = False,
    queue: QueueOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a run that predicts with the mean of other runs' logits."""
    launching = Launching(name, tag, detach=detach, queue=queue, as_json=as_json)
    with open_store(ctx) as store:
        launching.go(store, "ensemble", _choose(store, runs, where), at=at, device=device)


@app.command(cls=Command, help="Evaluate networks on the line between two.")
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
    at: AtOption = "best",
    name: NameOption = None,
    tag: TagOption = None,
    device: DeviceOption = None,
    detach: DetachOption = False,
    queue: QueueOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a run that evaluates interpolations between two networks."""
    launching = Launching(name, tag, detach=detach, queue=queue, as_json=as_json)
    from_pretrained = first == PRETRAINED
    if probe and not from_pretrained:
        raise CommandError(f"--probe needs {PRETRAINED!r} as A, not {first!r}; drop --probe.")
    with open_store(ctx) as store:
        names = [second] if from_pretrained else [first, second]
        launching.go(
            store, "interpolation", _choose(store, names, None), at=at, device=device,
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


def _checkpoint(at: str) -> Checkpoint:
    if at not in CHECKPOINTS:
        raise CommandError(f"--at is {at!r}, but must be best or last.")
    return "best" if at == "best" else "last"


def _following(method: Method, runs: Sequence[Run]) -> NextCommands:
    """Return the next commands to suggest."""
    compared = shlex.join(["vld", "compare", *(run.run_id for run in runs), "@last"])
    show = ("vld show @last", "all settings and results")
    if method == "interpolation":
        return [("vld curve @last", "accuracy at each point, in percent of B"), show]
    if len(runs) > MOST_COMPARED:
        return [show]
    return [show, (compared, "compare it with the runs it combines")]
