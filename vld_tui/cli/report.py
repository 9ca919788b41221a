"""``vld report``: write a study's tables, figures and HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vld_tui.cli.command import Command, JsonOption, StudyArgument
from vld_tui.cli.output import plain_console, print_json, progress_line, say, terminal_cells
from vld_tui.cli.session import open_store
from vld_tui.home import expanded
from vld_tui.report.content import Report, report_record
from vld_tui.report.study import report_study
from vld_tui.report.terminal import AS_WIDE_AS_IT_TAKES, report_texts

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
        folder = None if out is None else expanded(out)
        with progress_line() as show:
            made, written = report_study(
                store, study, folder=folder, interpolations=runs, progress=show
            )
    if as_json:
        print_json(report_record(made) | {"files": [str(path) for path in written]})
    else:
        _print(made, written)


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
