"""``vld rich`` and ``vld shift``: why a run does well or badly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from engine.protocol import FIELDS, value_in
from engine.protocol.data_shift import MeasureShift
from engine.protocol.diagnostics import Diagnosed, Topic, diagnostics_of
from engine.protocol.image_features import ImagesOf
from engine.rundir import StoredDiagnoses
from vld_tui.cli.command import Command, JsonOption, RunsOrNone, proposes, run_argument
from vld_tui.cli.data.network import NETWORK_FIELDS, network_of, spec_of_images
from vld_tui.cli.errors import FAILED_EXIT, CommandError, check_range, complain
from vld_tui.cli.network import BatchOption, ComputingOptions, caution, with_computing_options
from vld_tui.cli.options import FinishedOption, one_spelling, with_spec_options
from vld_tui.cli.output import (
    plain_console,
    print_json,
    say,
    say_wrapped,
    terminal_cells,
    with_home,
)
from vld_tui.cli.session import open_for_runs, open_store, this_home
from vld_tui.cli.work import showing_work
from vld_tui.control.combine import choose_matching
from vld_tui.control.diagnose import diagnose, runs_from_scratch
from vld_tui.control.domain_distances import measure_shift
from vld_tui.runs.diagnoses import diagnosis_record
from vld_tui.runs.fields import spec_values
from vld_tui.runs.run import Run
from vld_tui.store.errors import RunNotFound
from vld_tui.views.diagnoses import (
    diagnoses_text,
    diagnosis_list,
    failure_lines,
    has_measures,
    measures_table,
    run_line,
    scratch_lines,
    shift_heading,
)
from vld_tui.words.numbers import plural

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(add_completion=False, rich_markup_mode=None)

RunOrDataArgument = Annotated[
    str,
    run_argument(
        "RUN|DATA", "Run id, unique id prefix, name or @last; with --target: a data set or folder."
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="DOMAIN",
        help="Domain of a data set to compare with its other domains.",
        autocompletion=proposes("domains"),
    ),
]
AgainOption = Annotated[
    bool, typer.Option("--again", help="Compute results that are up to date as well.")
]


@app.command(cls=Command)
@with_computing_options
def rich(
    ctx: typer.Context,
    runs: RunsOrNone = None,
    where: FinishedOption = None,
    again: AgainOption = False,
    as_json: JsonOption = False,
    **given: Any,
) -> None:
    """Measure how rich the representations of runs are."""
    if bool(runs) == (where is not None):
        raise CommandError("Name the runs to measure, or select them with --where (not both).")
    references = runs or _matching(ctx, str(where))
    _diagnose(ctx, "rich", references, ComputingOptions(**given), again=again, as_json=as_json)


def shift(
    ctx: typer.Context,
    what: RunOrDataArgument,
    target: TargetOption = None,
    again: AgainOption = False,
    batch: BatchOption = 64,
    as_json: JsonOption = False,
    **given: Any,
) -> None:
    """Measure how far the target is from a run's sources, and where.

    With --target: how far a domain of a data set is from the others, before any run.
    """
    if target is not None:
        if again:
            raise CommandError("--again needs a run: results for a data set are not stored.")
        _shift_of_data(ctx, what, target, batch, given, as_json=as_json)
        return
    fields = spec_values(one_spelling(given))
    threads = fields.pop("threads", None)
    options = ComputingOptions(
        device=str(fields.pop("device", "auto")),
        batch=batch,
        threads=None if threads is None else int(str(threads)),
    )
    if fields:
        flag = FIELDS[next(iter(fields))].flag
        raise CommandError(f"{flag} needs a data set and --target; a run has its own network.")
    try:
        _diagnose(ctx, "shift", [what], options, again=again, as_json=as_json)
    except RunNotFound as error:
        reason, sign, how_to_list = str(error).partition(" List runs: ")
        raise RunNotFound(
            f"{reason} For a data set, add --target DOMAIN.{sign}{how_to_list}"
        ) from None


app.command(cls=Command)(with_spec_options(shift, without=FIELDS.keys() - set(NETWORK_FIELDS)))


def _shift_of_data(
    ctx: typer.Context, what: str, target: str, batch: int, given: dict[str, Any], *, as_json: bool
) -> None:
    check_range("--batch", batch, 1)
    home = this_home(ctx)
    spec = spec_of_images(home, what, given)
    request = MeasureShift(
        images=ImagesOf(spec.dataset, spec.data_dir),
        target=target,
        **network_of(home, spec, batch),
    )
    with showing_work() as show_work:
        found = measure_shift(request, show_work)
    summary = " ".join(each.summary for each in found.diagnoses if each.summary)
    if as_json:
        record = msgspec.to_builtins(found)
        record["diagnoses"] = {each.diagnostic: diagnosis_record(each) for each in found.diagnoses}
        print_json(record | {"summary": summary})
        return
    say_wrapped(summary)
    say("")
    _print([shift_heading(found), diagnoses_text(found.diagnoses, terminal_cells())])


def _matching(ctx: typer.Context, where: str) -> Sequence[str]:
    """Return the matching finished runs, and report the ones left out."""
    with open_store(ctx, to_look=True) as store:
        store.live.refresh()
        chosen = choose_matching(store, store.runs.query(where))
    counts = {"unfinished run": chosen.unfinished, "combining run": chosen.combining}
    if left_out := [plural(count, what) for what, count in counts.items() if count]:
        say(f"Left out: {' and '.join(left_out)}.", to_stderr=True)
    if not chosen.runs:
        raise CommandError(f"No finished run matches {where!r}. List runs with: vld ls")
    return [run.run_id for run in chosen.runs]


def _diagnose(
    ctx: typer.Context,
    topic: Topic,
    references: Sequence[str],
    options: ComputingOptions,
    *,
    again: bool,
    as_json: bool,
) -> None:
    computing = options.computing()
    names = [each.name for each in diagnostics_of(topic)]
    with open_for_runs(ctx, references, with_jobs=False) as store, showing_work() as show_work:
        runs = {run.run_id: run for run in map(store.runs.get, references)}
        results = diagnose(
            store, [*runs.values()], names, recomputes=again, on_report=show_work, **computing
        )
        scratch = [] if topic == "rich" else runs_from_scratch(store, results[0][0])
    if topic == "shift":
        _show_shift(*results[0], scratch, as_json=as_json)
    else:
        _show_rich(results, as_json=as_json)
    for run, done in results:
        if not done.refused:
            caution(run)
    errors = [*failure_lines(results)]
    for line in errors:
        complain(line)
    if errors:
        raise typer.Exit(FAILED_EXIT)


def _show_rich(results: Sequence[tuple[Run, Diagnosed]], *, as_json: bool) -> None:
    if as_json:
        print_json([_record(*each) for each in results])
    elif len(results) == 1:
        _print_one(*results[0])
    else:
        measured = [run for run, _ in results if has_measures(run, "rich")]
        if not measured:
            return
        _print([measures_table(measured, "rich", terminal_cells())])
        say("Values by domain: vld rich RUN, or --json", to_stderr=True)


def _show_shift(run: Run, done: Diagnosed, scratch: Sequence[Run], *, as_json: bool) -> None:
    summaries = [each.summary for each in done.diagnoses if each.summary]
    if as_json:
        more = {"summary": " ".join(summaries), "scratch": [each.run_id for each in scratch]}
        print_json(_record(run, done) | more)
        return
    for summary in summaries:
        say_wrapped(summary)
        say("")
    _print_one(run, done)
    robustness = value_in(run.measures, "effective_robustness", 1)
    if robustness is None:
        found = {each.diagnostic: each for each in done.diagnoses}
        for line in scratch_lines(run, found.get("robustness")):
            say(with_home(line))


def _print_one(run: Run, done: Diagnosed) -> None:
    stored = StoredDiagnoses({each.diagnostic: each for each in done.diagnoses})
    _print(
        [
            run_line(run),
            diagnosis_list(stored, run.selected_step, terminal_cells()),
            "",
            diagnoses_text(done.diagnoses, terminal_cells()),
        ]
    )


def _print(parts: Sequence[RenderableType]) -> None:
    console = plain_console()
    with console.capture() as capture:
        for part in parts:
            console.print(part, no_wrap=True, overflow="ignore", crop=False)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip(), color=True)


def _record(run: Run, done: Diagnosed) -> dict[str, Any]:
    return {
        "run": run.run_id,
        "name": run.name,
        "dropout_rate": run.spec.dropout_rate if run.has_spec else None,
        "id_accuracy": run.id_accuracy,
        "ood_accuracy": run.ood_accuracy,
        "diagnoses": {each.diagnostic: diagnosis_record(each) for each in done.diagnoses},
        "problems": done.problems,
        "refused": done.refused,
        "computed": done.computed,
    }
