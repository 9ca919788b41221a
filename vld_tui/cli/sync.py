"""``vld sync``: copy runs from another home, read-only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.output import print_json, say, suggest
from vld_tui.cli.session import open_store
from vld_tui.launch.sync import THEIRS, Fetched, FetchedStudies, SyncError, fetch_runs
from vld_tui.words.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=Command)
def sync(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="[USER@]HOST:HOME",
            help="Home to copy from.",
            show_default=False,
        ),
    ],
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also copy checkpoints, which are large.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Overwrite studies, names, tags and notes that were changed here.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy run folders and studies from another home with rsync over ssh, without checkpoints.

    Run it again to copy changes. Studies, names, tags and notes that were changed here are kept;
    a study that differs is written next to yours.
    """
    with open_store(ctx) as store:
        fetched = fetch_runs(store.home, source, checkpoints=checkpoints, overwrite=overwrite)
        report = store.folders.take_in(fetched.run_ids)
        store.folders.take_in_others()  # runs that an interrupted sync copied
    for each in report.damaged:
        say(f"cannot read {each.path.name}: {each.reason}", to_stderr=True)
    if fetched.problem is not None:
        raise SyncError(f"{fetched.problem}\n{_advice(fetched)}")
    studies = fetched.studies
    if as_json:
        print_json(
            {
                "source": source,
                "runs": list(fetched.run_ids),
                "studies": studies.count,
                "studies_overwritten": studies.overwritten,
                "studies_kept": studies.kept,
            }
        )
        return
    _report(report.runs, studies, store.home.studies)


def _advice(fetched: Fetched) -> str:
    """Return what to do after a failed copy."""
    if fetched.run_ids:
        return "Copied runs are kept. To copy the rest, run the command again."
    return "No run was copied. Once this is fixed, run the command again."


def _report(runs: int, studies: FetchedStudies, folder: Path) -> None:
    """Print what was copied, and which studies differ from the source."""
    brought = studies.count
    if runs or brought:
        counted = f" · studies: {brought}" if brought else ""
        say(f"updated {plural(runs, 'run')}{counted}")
    elif not studies.kept:
        say("Already up to date.")
        return
    for name in studies.overwritten:
        say(f"overwrote study {name}")
    for name in studies.kept:
        say(f"kept your study {name}; the other version is in {folder / (name + THEIRS)}")
    if studies.kept:
        say("  To replace yours, add --overwrite.")
    if runs or brought:
        suggest([("vld ls", "list all runs")])
