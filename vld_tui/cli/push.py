"""``vld push``: copy runs to another experiment tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vld_tui.cli.command import Command, JsonOption, proposes, run_argument
from vld_tui.cli.errors import check_choice
from vld_tui.cli.output import print_json, say, suggest
from vld_tui.cli.session import open_store, refresh_or_say
from vld_tui.control.push import Pushed, find_candidates, push_all
from vld_tui.trackers import TRACKERS, open_tracker
from vld_tui.trackers.tracker import Destination
from vld_tui.words.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)

ToOption = Annotated[
    str,
    typer.Option(
        "--to", metavar="TRACKER", help=f"{', '.join(TRACKERS)}.", show_default=False,
        autocompletion=proposes(tuple(TRACKERS)),
    ),
]  # fmt: skip
ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project", metavar="NAME",
        help="Project of wandb ([ENTITY/]NAME) or trackio, experiment of mlflow. "
        "[default: vld; for mlflow the study]",
    ),
]  # fmt: skip
DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir", metavar="DIR",
        help="Folder of tensorboard, of trackio's databases, or of wandb's files. "
        "[default: runs for tensorboard; else the tracker's own]",
    ),
]  # fmt: skip
UriOption = Annotated[
    str | None,
    typer.Option(
        "--uri", metavar="URI",
        help="MLflow's server or database, such as sqlite:///mlflow.db (MLFLOW_TRACKING_URI).",
    ),
]  # fmt: skip


@app.command(cls=Command)
def push(
    ctx: typer.Context,
    runs: Annotated[list[str], run_argument("RUN|STUDY...", "Runs, or studies with their runs.")],
    to: ToOption,
    project: ProjectOption = None,
    folder: DirOption = None,
    uri: UriOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="wandb: write files to upload with wandb sync.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Push new values until the runs end.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Push settings, curves and results of runs. Pushing again adds only what is new."""
    tracker_name = check_choice("--to", to, TRACKERS)
    records: list[dict[str, Any]] = []
    with open_store(ctx, to_look=True) as store:
        refresh_or_say(store)
        candidates = find_candidates(store, runs)
        tracker = open_tracker(tracker_name, Destination(project, folder, uri, offline=offline))
        for pushed in push_all(store, candidates, tracker, follow=follow):
            records.append(_record(pushed))
            if not as_json:
                say(f"{pushed.run.run_id}  {pushed.run.label}  {_outcome(pushed)}")
    if as_json:
        print_json({"tracker": to, "runs": records})
    elif tracker.view is not None and any(record["place"] for record in records):
        suggest([tracker.view])


def _record(pushed: Pushed) -> dict[str, Any]:
    return {
        "run": pushed.run.run_id,
        "name": pushed.run.name,
        "status": pushed.run.status,
        "values": pushed.values,
        "place": pushed.place,
    }


def _outcome(pushed: Pushed) -> str:
    if pushed.place is None:
        return f"no values yet ({pushed.run.status})"
    what = f"{plural(pushed.values, 'value')} pushed" if pushed.values else "nothing new"
    return f"{what} · {pushed.place}"
