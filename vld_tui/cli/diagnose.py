"""``vld rich`` and ``vld shift``: why a run does well or badly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from engine.protocol.diagnostics import Diagnosed, Topic, diagnostics_of
from vld_tui.cli.command import Command, JsonOption, RunArgument, run_argument
from vld_tui.cli.errors import FAILED_EXIT, check_range, complain
from vld_tui.cli.network import BatchOption, DeviceOption, ThreadsOption
from vld_tui.cli.output import plain_console, print_json, say
from vld_tui.cli.session import open_for_runs
from vld_tui.cli.work import showing_work
from vld_tui.control.diagnose import diagnose
from vld_tui.runs.diagnoses import diagnosis_record
from vld_tui.runs.run import Run
from vld_tui.views.diagnoses import diagnoses_text, measures_table, problem_lines

app = typer.Typer(add_completion=False, rich_markup_mode=None)

RunsArgument = Annotated[
    list[str], run_argument("RUN...", "Run ids, unique id prefixes, names or @last.")
]
AgainOption = Annotated[
    bool, typer.Option("--again", help="Compute results that are up to date as well.")
]


@app.command(cls=Command)
def rich(
    ctx: typer.Context,
    runs: RunsArgument,
    again: AgainOption = False,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
    batch: BatchOption = 64,
    threads: ThreadsOption = None,
) -> None:
    """Measure how rich the representations of runs are."""
    _diagnose(
        ctx, "rich", runs, as_json=as_json,
        recomputes=again, device=device, batch_size=batch, threads=threads,
    )  # fmt: skip


@app.command(cls=Command)
def shift(
    ctx: typer.Context,
    run: RunArgument,
    again: AgainOption = False,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
    batch: BatchOption = 64,
    threads: ThreadsOption = None,
) -> None:
    """Measure how far the target is from a run's sources, and where."""
    _diagnose(
        ctx, "shift", [run], as_json=as_json,
        recomputes=again, device=device, batch_size=batch, threads=threads,
    )  # fmt: skip


def _diagnose(
    ctx: typer.Context, topic: Topic, references: Sequence[str], *, as_json: bool, **options: Any
) -> None:
    check_range("--batch", options["batch_size"], 1)
    check_range("--threads", options["threads"], 1, 1024)
    names = [each.name for each in diagnostics_of(topic)]
    found: dict[str, tuple[Run, Diagnosed]] = {}
    with open_for_runs(ctx, references, with_jobs=False) as store, showing_work() as show_work:
        for reference in references:
            run = store.runs.get(reference)
            if run.run_id not in found:
                found[run.run_id] = diagnose(store, run, names, on_report=show_work, **options)
    if as_json:
        print_json([_record(*each) for each in found.values()])
    else:
        _print(topic, list(found.values()))
    has_problem = False
    for run, done in found.values():
        for line in (*problem_lines(done.problems), *filter(None, [done.unsaved])):
            complain(f"{run.run_id}: {line}")
            has_problem = True
    if has_problem:
        raise typer.Exit(FAILED_EXIT)


def _print(topic: Topic, found: Sequence[tuple[Run, Diagnosed]]) -> None:
    console = plain_console()
    with console.capture() as capture:
        console.print(measures_table([run for run, _ in found], topic, console.width))
        if len(found) == 1:
            console.print()
            console.print(diagnoses_text(found[0][1].diagnoses, console.width))
    for line in capture.get().splitlines():
        typer.echo(line.rstrip(), color=True)
    if len(found) > 1:
        say(f"Values by domain: vld {topic} RUN, or --json", to_stderr=True)


def _record(run: Run, done: Diagnosed) -> dict[str, Any]:
    return {
        "run": run.run_id,
        "name": run.name,
        "dropout_rate": run.spec.dropout_rate if run.has_spec else None,
        "id_accuracy": run.id_accuracy,
        "ood_accuracy": run.ood_accuracy,
        "diagnoses": {each.diagnostic: diagnosis_record(each) for each in done.diagnoses},
        "problems": done.problems,
        "computed": done.computed,
    }
