"""``vld ls``: list runs as a table, JSON or CSV."""

from __future__ import annotations

import io
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, NamedTuple

import typer

from vld_tui.cli.command import Command, JsonOption, proposes
from vld_tui.cli.errors import CommandError, check_range
from vld_tui.cli.options import WhereOption
from vld_tui.cli.output import (
    plain_console,
    print_json,
    print_text,
    say,
    terminal_cells,
    with_home,
)
from vld_tui.cli.session import open_store, refresh_or_say, this_home
from vld_tui.control.records import Record, run_records, write_csv
from vld_tui.runs.imported import load_imported
from vld_tui.runs.run import Run
from vld_tui.store.fields import ALIASES, QUERY_FIELDS, QueryField
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.views.run_columns import LISTED_COLUMNS, RUN_COLUMNS, run_lines, run_table
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import plural

TERMINAL_LIMIT: Final = 50
"""Runs listed on a terminal; a pipe gets all of them."""

LANGUAGE: Final = (
    "Filters compare a field with a value: = (equal) != < <= > >=, ':' (contains), '~' (regular "
    "expression); case is ignored. Combine them with and (a space), or (|), not (!) and "
    "parentheses. Values: 1..5 is a range, 1,2 or 1|2 means either, re* matches a prefix. A word "
    "without a field, or /expression/, searches id, name, tags, note, data set and target. "
    "Example: --where 'dropout >= 0.9 and not (status:failed or tag:old)'. "
    "Fields: vld ls --fields."
)
_COLUMNS: Final = (
    Column("field", rank=100),
    Column("other names", rank=97),
    Column("kind", rank=99),
    Column("about", rank=98),
)
_KINDS: Final = {"time": "date"}

app = typer.Typer(add_completion=False, rich_markup_mode=None)

SortOption = Annotated[
    str | None,
    typer.Option(
        "--sort", metavar="FIELD",
        help="Sort by a field, such as ood_accuracy; -FIELD: descending; A,-B: several.",
        autocompletion=proposes("sort"),
    ),
]  # fmt: skip
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit", "-n", metavar="N",
        help=f"Maximum number of runs; 0: all. [default: {TERMINAL_LIMIT} on a terminal, else all]",
    ),
]  # fmt: skip

ViewOption = Annotated[
    str | None,
    typer.Option(
        "--view", metavar="NAME", autocompletion=proposes("views"),
        help="Use the filter, order and columns of a view saved in the dashboard, without its "
        "grouping. --where narrows the filter, --sort replaces the order.",
    ),
]  # fmt: skip
TrashedOption = Annotated[bool, typer.Option("--trashed", help="List the runs in the trash.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV to stdout.")]
ImportedOption = Annotated[
    bool, typer.Option("--imported", help="List the runs imported with vld pull.")
]
FieldsOption = Annotated[
    bool, typer.Option("--fields", help="List the fields of --where and --sort.")
]


class _Listing(NamedTuple):
    """What is listed and how."""

    where: str
    sort: str | None
    columns: Sequence[str] = LISTED_COLUMNS


@app.command(cls=Command, epilog=LANGUAGE)
def ls(
    ctx: typer.Context,
    where: WhereOption = None,
    sort: SortOption = None,
    limit: LimitOption = None,
    view: ViewOption = None,
    trashed: TrashedOption = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    imported: ImportedOption = False,
    fields: FieldsOption = False,
) -> None:
    """List runs, newest first by default."""
    if as_json and as_csv:
        raise CommandError("--json and --csv exclude each other; pass only one.")
    check_range("--limit", limit, 0)
    if fields:
        _print_fields(as_json=as_json)
        return
    if imported:
        if where or sort or view or trashed or as_csv or limit is not None:
            raise CommandError("--imported takes no other option than --json.")
        _list_imported(ctx, as_json=as_json)
        return
    Query.parse(where or "", sort=sort)  # checked before the home is opened
    with open_store(ctx, to_look=True) as store:
        refresh_or_say(store)
        listing = _listing(store, view, where, sort)
        query = store.runs.query(listing.where, sort=listing.sort)
        on_terminal = sys.stdout.isatty() and not (as_json or as_csv)
        most = limit if limit is not None else (TERMINAL_LIMIT if on_terminal else 0)
        shown = store.runs.find(query, trashed=trashed, limit=most or None)
        count = store.runs.count(query, trashed=trashed) if len(shown) == most else len(shown)
        records = run_records(store, shown) if as_json or as_csv else []
        unread = store.folders.count_unread(must_look=not (shown or listing.where or trashed))
        nothing = "" if shown or unread else _nothing(store, query, listing.where, trashed=trashed)
    if as_json or as_csv:
        _print_records(records, as_json=as_json)
    elif nothing:
        say(nothing, to_stderr=True)
    elif on_terminal:
        _print_table(shown, listing.columns, hidden=count - len(shown))
    elif shown:
        lines = run_lines(shown, now=time.time(), names=listing.columns)
        sys.stdout.writelines(f"{line}\n" for line in lines)
    if unread:
        folders = plural(unread, "run folder")
        first = with_home("vld rebuild")
        say(f"{folders} in {store.home.runs} not in the database; run: {first}", to_stderr=True)


def _listing(store: Store, view: str | None, where: str | None, sort: str | None) -> _Listing:
    """Return what the options ask for, or a saved view narrowed by them."""
    if view is None:
        return _Listing(where or "", sort)
    saved = store.views.get(view)
    columns = [each for each in saved.columns if each in RUN_COLUMNS]
    return _Listing(
        " ".join(f"({part})" for part in (saved.filter, where) if part),
        sort or saved.sort,
        columns or LISTED_COLUMNS,
    )


def _print_records(records: Sequence[Record], *, as_json: bool) -> None:
    if as_json:
        print_json(records)
        return
    text = io.StringIO()
    write_csv(records, text)
    print_text(text.getvalue())


def _list_imported(ctx: typer.Context, *, as_json: bool) -> None:
    from vld_tui.views.imported import imported_lines, imported_record  # other lists do without

    runs = load_imported(this_home(ctx, to_look=True).imported)
    if as_json:
        print_json([imported_record(run) for run in runs])
    elif runs:
        for line in imported_lines(runs, terminal_cells()):
            say(line)
    else:
        say("No imported runs. Import some: " + with_home("vld pull"), to_stderr=True)


def _print_fields(*, as_json: bool) -> None:
    if as_json:
        print_json(list(_field_records()))
        return
    for line in _field_lines():
        say(line)


def _field_records() -> Iterator[dict[str, object]]:
    """Yield every field of filters and sorting as plain values."""
    for field in _sorted_fields():
        yield {
            "name": field.name,
            "aliases": _aliases(field),
            "kind": field.kind,
            "choices": list(field.choices),
            "about": field.about,
        }


def _field_lines() -> Iterator[str]:
    """Yield the fields as a table, heading first."""
    rows = [_row(field) for field in _sorted_fields()]
    yield from table_lines(_COLUMNS, rows)


def _sorted_fields() -> list[QueryField]:
    return sorted(QUERY_FIELDS.values(), key=lambda field: field.name)


def _aliases(field: QueryField) -> list[str]:
    return [alias for alias, name in ALIASES.items() if name == field.name]


def _row(field: QueryField) -> tuple[str, ...]:
    choices = f" ({' | '.join(field.choices)})" if field.choices else ""
    kind = _KINDS.get(field.kind, field.kind)
    return (field.name, " ".join(_aliases(field)), kind, field.about + choices)


def _print_table(runs: Sequence[Run], names: Sequence[str], *, hidden: int) -> None:
    cells = shutil.get_terminal_size().columns
    console = plain_console()
    console.print(
        run_table(runs, now=time.time(), cells=cells, names=names),
        no_wrap=True,
        overflow="ignore",
        crop=False,
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
