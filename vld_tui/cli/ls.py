"""``vld ls``: list runs as a table, JSON or CSV."""

from __future__ import annotations

import io
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from vld_tui.cli.command import Command, JsonOption
from vld_tui.cli.errors import CommandError, check_range
from vld_tui.cli.filters import LANGUAGE, SortOption, WhereOption, field_lines, field_records
from vld_tui.cli.output import plain_console, print_json, print_text, say, with_home
from vld_tui.cli.session import open_store, refresh_or_say
from vld_tui.control.export import run_records, write_csv
from vld_tui.runs.run import Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.views.run_columns import run_lines, run_table
from vld_tui.words.numbers import plural

TERMINAL_LIMIT: Final = 50
"""Runs listed on a terminal; a pipe gets all of them."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)

LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit", "-n", metavar="N",
        help=f"Maximum number of runs; 0: all. [default: {TERMINAL_LIMIT} on a terminal, else all]",
    ),
]  # fmt: skip


@app.command(cls=Command, epilog=LANGUAGE)
def ls(
    ctx: typer.Context,
    where: WhereOption = None,
    sort: SortOption = None,
    limit: LimitOption = None,
    trashed: Annotated[bool, typer.Option("--trashed", help="List the runs in the trash.")] = False,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV to stdout.")] = False,
    fields: Annotated[
        bool, typer.Option("--fields", help="List the fields of --where and --sort.")
    ] = False,
) -> None:
    """List runs, newest first by default."""
    if as_json and as_csv:
        raise CommandError("--json and --csv exclude each other; pass only one.")
    check_range("--limit", limit, 0)
    if fields:
        _print_fields(as_json=as_json)
        return
    Query.parse(where or "", sort=sort)  # checked before the home is opened
    with open_store(ctx, to_look=True) as store:
        refresh_or_say(store)
        query = store.runs.query(where or "", sort=sort)
        on_terminal = sys.stdout.isatty() and not (as_json or as_csv)
        most = limit if limit is not None else (TERMINAL_LIMIT if on_terminal else 0)
        shown = store.runs.find(query, trashed=trashed, limit=most or None)
        count = store.runs.count(query, trashed=trashed) if len(shown) == most else len(shown)
        records = run_records(store, shown) if as_json or as_csv else []
        unread = store.folders.count_unread(must_look=not (shown or where or trashed))
        nothing = None if shown or unread else _nothing(store, query, where, trashed=trashed)
    if as_json:
        print_json(records)
    elif as_csv:
        text = io.StringIO()
        write_csv(records, text)
        print_text(text.getvalue())
    elif nothing is not None:
        say(nothing, to_stderr=True)
    elif on_terminal:
        _print_table(shown, hidden=count - len(shown))
    elif shown:
        sys.stdout.writelines(f"{line}\n" for line in run_lines(shown, now=time.time()))
    if unread:
        folders = plural(unread, "run folder")
        first = with_home("vld rebuild")
        say(f"{folders} in {store.home.runs} not in the database; run: {first}", to_stderr=True)


def _print_fields(*, as_json: bool) -> None:
    if as_json:
        print_json(list(field_records()))
        return
    for line in field_lines():
        say(line)


def _print_table(runs: Sequence[Run], *, hidden: int) -> None:
    cells = shutil.get_terminal_size().columns
    console = plain_console()
    console.print(
        run_table(runs, now=time.time(), cells=cells), no_wrap=True, overflow="ignore", crop=False
    )
    if any(run.collapsed for run in runs):
        console.print(
            with_home("▼ collapsed, predicts one class for every image; for advice: vld show RUN"),
            style="dim",
        )
    recovered = sum(run.recovered_step is not None and not run.collapsed for run in runs)
    if recovered:
        console.print(
            f"{plural(recovered, 'run')} collapsed and recovered: "
            + with_home("for the steps: vld show RUN"),
            style="dim",
        )
    if hidden:
        console.print(f"… and {plural(hidden, 'more run')}; list all with --limit 0.", style="dim")


def _nothing(store: Store, query: Query, where: str | None, *, trashed: bool) -> str:
    """Return why no run is listed and what to do."""
    if where:
        searched = plural(store.runs.count(trashed=trashed), "run")
        place = " in the trash" if trashed else ""
        reason = store.runs.why_nothing_matches(query)
        return f"No run matches {where!r}: {searched}{place} searched. {reason}".rstrip()
    if trashed:
        return "The trash is empty."
    return f"No runs yet in {store.home.path}. Start one: " + with_home("vld run")
