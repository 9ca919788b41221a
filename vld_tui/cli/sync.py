"""``vld sync``: bring the runs of another home here, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.hints import with_home
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import open_store
from vld_tui.launch.sync import THEIRS, FetchedStudies, SyncError, fetch_runs
from vld_tui.words.numbers import plural

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
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace studies, names, tags and notes that were changed here by those there.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring run folders and studies of another home here by rsync over ssh, without checkpoints.

    Run it again to bring what has changed since. Studies, names, tags and notes that were changed
    here are kept; a study that differs is written next to yours.
    """
    with open_store(ctx) as store:
        fetched = fetch_runs(store.home, source, checkpoints=checkpoints, overwrite=overwrite)
        report = store.take_in(fetched.run_ids)
        store.take_in_others()  # which one that broke off has brought
    for each in report.damaged:
        say(f"{each.path.name} cannot be read: {each.reason}", to_stderr=True)
    if fetched.problem is not None:
        kept = "What has arrived is kept. " if fetched.run_ids else ""
        raise SyncError(f"{fetched.problem}\n{kept}Run the command again to bring the rest.")
    studies = fetched.studies
    if as_json:
        print_json(
            {
                "source": source,
                "runs": list(fetched.run_ids),
                "studies": len(studies.brought) + len(studies.overwritten),
                "studies_overwritten": studies.overwritten,
                "studies_kept": studies.kept,
            }
        )
        return
    _report(report.runs, studies, store.home.studies)


def _report(runs: int, studies: FetchedStudies, folder: Path) -> None:
    """Print what was brought, and which studies of this home differ from theirs."""
    brought = len(studies.brought) + len(studies.overwritten)
    if runs or brought:
        counted = f" · studies: {brought}" if brought else ""
        say(f"{plural(runs, 'run')} brought up to date{counted}")
    elif not studies.kept:
        say("Nothing has changed there.")
        return
    for name in studies.overwritten:
        say(f"study overwritten: {name}")
    for name in studies.kept:
        say(f"study kept: your {name} differs from theirs, written to {folder / (name + THEIRS)}")
    if studies.kept:
        say("  Add --overwrite to replace yours.")
    if runs or brought:
        say(with_home("  vld ls  # all runs of this home"))
