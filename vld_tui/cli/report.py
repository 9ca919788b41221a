"""``vld report``: write a study's tables, figures and HTML page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from vld_tui.cli.command import Command, JsonOption, StudyArgument
from vld_tui.cli.errors import FAILED_EXIT, CommandError
from vld_tui.cli.output import plain_console, print_json, say, terminal_cells
from vld_tui.cli.session import open_store
from vld_tui.home import expanded
from vld_tui.report.content import Report, make_report, report_record
from vld_tui.report.terminal import AS_WIDE_AS_IT_TAKES, report_texts
from vld_tui.report.write import write_report
from vld_tui.store.store import Store
from vld_tui.study.define.files import find_study
from vld_tui.study.results.interpolation import METHOD, Way, find_ways, read_ways
from vld_tui.study.results.outcomes import Gathered, gather
from vld_tui.study.standing import Strays, find_strays, standing_of
from vld_tui.views.study import stray_text
from vld_tui.words.numbers import plural

app = typer.Typer(add_completion=False, rich_markup_mode=None)

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Output folder; existing files are overwritten. "
        "[default: reports/STUDY in the home]",
    ),
]  # fmt: skip
RunsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--runs", metavar="RUN",
        help="Interpolation run to plot. [repeatable; default: those of the study's runs]",
    ),
]  # fmt: skip


@app.command(cls=Command)
def report(
    ctx: typer.Context,
    study: StudyArgument,
    out: OutOption = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write tables, figures and an HTML page of a study's finished runs."""
    with open_store(ctx, to_look=True) as store:
        found = find_study(store.home, study)
        store.live.refresh()
        gathered = gather(store, found)
        if not gathered.runs:
            strays = find_strays(store, standing_of(store, found))
            raise CommandError(_nothing(gathered, strays), exit_code=FAILED_EXIT)
        made = _report(store, gathered, _ways(store, gathered, runs))
        folder = store.home.path / "reports" / found.name if out is None else expanded(out)
    try:
        written = write_report(made, folder)
    except OSError as error:
        raise CommandError(
            f"Cannot write to {folder}: {(error.strerror or str(error)).lower()}. Use --out DIR.",
            exit_code=FAILED_EXIT,
        ) from None
    if as_json:
        print_json(report_record(made) | {"files": [str(path) for path in written]})
    else:
        _print(made, written)


def _report(store: Store, gathered: Gathered, ways: Sequence[Way]) -> Report:
    attempts = [store.series.timeline(run.run_id)[-1:] for run in gathered.runs]
    return make_report(
        gathered,
        [attempt for last in attempts for attempt in last],
        ways,
        made_at=time.time(),
        version=metadata.version("vld-tui"),
    )


def _ways(store: Store, gathered: Gathered, named: Sequence[str] | None) -> list[Way]:
    if not named:
        return read_ways(store, find_ways(store, {run.run_id for run in gathered.runs}))
    known = [store.runs.get(reference) for reference in named]
    for run in known:
        if run.combination is None or run.combination.method != METHOD:
            raise CommandError(
                f"Run {run.run_id} is not an interpolation: its arm is {run.arm}.\n"
                "List interpolations with: vld ls --where arm=interpolation"
            )
    return read_ways(store, known)


def _nothing(gathered: Gathered, strays: Strays | None) -> str:
    counts: dict[str, int] = {}
    for each in gathered.coverage:
        for status, count in each.others.items():
            counts[status] = counts.get(status, 0) + count
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    name = gathered.study.name
    others = "" if strays is None else f"\n{stray_text(gathered.study, strays)}"
    return (
        f"No run of study {name} has finished yet ({plural(gathered.asked, 'run')}: {told}).\n"
        f"Launch or resume it: vld sweep {name}{others}"
    )


def _print(made: Report, written: Sequence[Path]) -> None:
    console = plain_console()
    for text in report_texts(made, terminal_cells() or AS_WIDE_AS_IT_TAKES):
        console.print(text, soft_wrap=True)
        console.print()
    say(f"Page     {written[0]}")
    for label, endings in (("Figures", (".png", ".pdf")), ("Tables", (".csv", ".tex"))):
        stems = dict.fromkeys(path.stem for path in written if path.suffix in endings)
        if stems:  # runs without a target appear in no figure
            names = f"{', '.join(stems)} ({' and '.join(endings)})"
            say(f"{label:<8} {names} in {written[0].parent}")
