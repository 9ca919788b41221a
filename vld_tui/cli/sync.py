"""``vld sync``: bring the runs of another home here, to look at."""

from __future__ import annotations

from typing import Annotated

import typer

from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import open_store
from vld_tui.sync import SyncError, fetch_runs
from vld_tui.views.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def sync(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="[USER@]HOST:HOME",
            help="The other home, as rsync names it.",
            show_default=False,
        ),
    ],
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Bring the networks too, which are large.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring run folders of another home here by rsync over ssh, without their checkpoints.

    Again, it brings what changed. Names, tags and notes that were given here since are kept.
    """
    with open_store(ctx) as store:
        fetched = fetch_runs(store.home, source, checkpoints=checkpoints)
        report = store.take_in(fetched.run_ids)
        store.take_in_others()  # which one that broke off has brought
    for each in report.damaged:
        say(f"{each.path.name} cannot be read: {each.reason}", to_stderr=True)
    if fetched.problem is not None:
        kept = "\nWhat has come is kept; again, it goes on." if fetched.run_ids else ""
        raise SyncError(fetched.problem + kept)
    if as_json:
        print_json({"source": source, "runs": list(fetched.run_ids), "studies": fetched.studies})
        return
    if not fetched.run_ids and not fetched.studies:
        say("Nothing has changed there.")
        return
    studies = f" · studies: {fetched.studies}" if fetched.studies else ""
    say(f"{plural(report.runs, 'run')} brought up to date{studies}")
    say("  vld ls  # all runs of this home")
