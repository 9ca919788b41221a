"""``vld evaluate``: test a run's network on other labelled images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from engine.protocol.data_evaluations import DataEvaluation
from engine.rundir import RunDir
from vld_tui.cli.command import Command, JsonOption, RunArgument, proposes
from vld_tui.cli.data.work import LayoutOption, checked_layout
from vld_tui.cli.errors import FAILED_EXIT, CommandError, complain
from vld_tui.cli.network import NetworkOptions, find_run, with_network_options
from vld_tui.cli.output import plain_console, print_json, print_text, say
from vld_tui.cli.session import this_home
from vld_tui.cli.work import showing_work
from vld_tui.control.evaluate import (
    class_map_of,
    find_evaluation,
    remove_evaluation,
)
from vld_tui.control.evaluate import (
    evaluate as evaluate_run,
)
from vld_tui.control.records import write_records
from vld_tui.runs.evaluations import evaluation_record, evaluation_rows
from vld_tui.views.evaluations import MOST_CLASSES, evaluation_list, evaluation_text
from vld_tui.words import use_help

EPILOG: Final = (
    "Classes are matched by name. The result is stored in the run's folder and shown by vld show; "
    "evaluating the same images with the same network again replaces it. Exit code 1: some images "
    "cannot be read."
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)

DataArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME|PATH]",
        help=use_help.DATA,
        autocompletion=proposes("data sets"),
        show_default=False,
    ),
]
DomainOption = Annotated[
    list[str] | None,
    typer.Option("--domain", metavar="NAME", help=f"{use_help.DOMAIN} [repeatable; default: all]"),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="OLD=NEW",
        help=f"{use_help.CLASS_MAP} [repeatable]",
    ),
]  # fmt: skip
CsvOption = Annotated[
    bool, typer.Option("--csv", help="Print CSV to stdout: a row for each domain and class.")
]
ListOption = Annotated[bool, typer.Option("--ls", help="List the stored evaluations of the run.")]
ShowOption = Annotated[
    str | None, typer.Option("--show", metavar="NAME", help="Print a stored evaluation.")
]
RemoveOption = Annotated[
    str | None, typer.Option("--rm", metavar="NAME", help="Delete a stored evaluation.")
]


@app.command(cls=Command, epilog=EPILOG)
@with_network_options
def evaluate(
    ctx: typer.Context,
    run: RunArgument,
    data: DataArgument = None,
    domain: DomainOption = None,
    class_map: MapOption = None,
    layout: LayoutOption = "auto",
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    listed: ListOption = False,
    shown: ShowOption = None,
    removed: RemoveOption = None,
    **given: Any,
) -> None:
    """Test a run's network on other labelled images, and store the result with the run."""
    if sum((data is not None, listed, shown is not None, removed is not None)) != 1:
        raise CommandError(
            "Pass exactly one of: the data to evaluate on, --ls, --show NAME, --rm NAME."
        )
    if as_json and as_csv:
        raise CommandError("--json and --csv exclude each other; pass only one.")
    known, run_dir = find_run(ctx, run)
    if listed:
        _list(run_dir, as_json=as_json, as_csv=as_csv)
    elif removed is not None:
        remove_evaluation(run_dir, removed)
        say(f"deleted the evaluation {removed} of run {known.run_id}")
    elif shown is not None:
        _print(find_evaluation(run_dir, shown), as_json=as_json, as_csv=as_csv)
    elif data is not None:
        fields = NetworkOptions(**given).request_fields(run_dir)
        del fields["run_dir"]
        with showing_work() as show_work:
            done = evaluate_run(
                this_home(ctx, to_look=True),
                run_dir,
                data,
                layout=checked_layout(layout),
                domains=domain or (),
                class_map=class_map_of(class_map or ()),
                on_report=show_work,
                **fields,
            )
        found = done.evaluation
        _print(found, as_json=as_json, as_csv=as_csv)
        if not (as_json or as_csv) and done.path is not None:
            action = "replaced" if done.replaced else "stored"
            say(f"{action}: {done.path}")
        for path, why in found.unreadable.items():
            say(f"cannot read {path}: {why}", to_stderr=True)
        if done.problem:
            complain(done.problem)
        if found.unreadable or done.problem:
            raise typer.Exit(FAILED_EXIT)


def _list(run_dir: RunDir, *, as_json: bool, as_csv: bool) -> None:
    stored = run_dir.read_evaluations()
    if as_json:
        print_json([evaluation_record(each) for each in stored.found])
        return
    if as_csv:
        _print_csv(stored.found)
        return
    if not (stored.found or stored.damaged):
        say(f"Run {run_dir.run_id} has no evaluations on other data.", to_stderr=True)
        return
    console = plain_console()
    console.print(evaluation_list(stored, console.width))


def _print(evaluation: DataEvaluation, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json(evaluation_record(evaluation))
    elif as_csv:
        _print_csv([evaluation])
    else:
        console = plain_console()
        most = MOST_CLASSES if console.is_terminal else None
        with console.capture() as capture:
            console.print(evaluation_text(evaluation, console.width, most_classes=most))
        for line in capture.get().splitlines():
            typer.echo(line.rstrip(), color=True)


def _print_csv(evaluations: Sequence[DataEvaluation]) -> None:
    text = io.StringIO()
    write_records([row for each in evaluations for row in evaluation_rows(each)], text)
    print_text(text.getvalue())
