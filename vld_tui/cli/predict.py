"""``vld predict``: classify images with a run's network."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from engine.protocol.inference import OOD_SCORES, PredictImages, PredictionsMade
from vld_tui.cli.command import Command, RunArgument, proposes
from vld_tui.cli.errors import FAILED_EXIT, CommandError, check_choice, check_range
from vld_tui.cli.network import NetworkOptions, find_run, with_network_options
from vld_tui.cli.output import print_json
from vld_tui.cli.prediction_output import OutputOptions, PredictionOutput, with_output_options
from vld_tui.cli.work import showing_work
from vld_tui.control.predict import predict as predict_images
from vld_tui.runs.run import Run
from vld_tui.words import use_help

STDIN: Final = "-"

app = typer.Typer(add_completion=False, rich_markup_mode=None)

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Image files, folders (searched recursively), quoted globs ('photos/**/*.jpg'), CSV "
        "or parquet tables with a column of paths, or - for one path per line on stdin.",
        show_default=False,
    ),
]
TopOption = Annotated[int, typer.Option("--top", metavar="N", help=use_help.TOP)]
OodOption = Annotated[
    str | None,
    typer.Option(
        "--ood",
        metavar="|".join(OOD_SCORES),
        help=use_help.OOD,
        autocompletion=proposes((*OOD_SCORES,)),
    ),
]
MinProbabilityOption = Annotated[
    str | None,
    typer.Option(
        "--min-probability",
        metavar="0-1",
        help=use_help.MIN_PROBABILITY,
    ),
]
PathColumnOption = Annotated[
    str, typer.Option("--path-column", metavar="NAME", help="Path column of tables.")
]


@app.command(cls=Command)
@with_network_options
@with_output_options
def predict(
    ctx: typer.Context,
    run: RunArgument,
    paths: PathsArgument,
    top: TopOption = 1,
    ood: OodOption = None,
    min_probability: MinProbabilityOption = None,
    path_column: PathColumnOption = "path",
    **given: Any,
) -> None:
    """Classify images with a run's network.

    Exits with 1 if some images cannot be read.
    """
    options = OutputOptions.taken_from(given)
    options.check()
    check_range("--top", top, 1)
    score = None if ood is None else check_choice("--ood", ood, OOD_SCORES)
    least = _share(min_probability)
    known, run_dir = find_run(ctx, run)
    request = PredictImages(
        **NetworkOptions(**given).request_fields(run_dir),
        paths=_utf8([path for path in paths if path != STDIN]),
        listed=_from_stdin() if STDIN in paths else (),
        top=top,
        ood=score,
        path_column=path_column,
        skipped_folder=None if options.into is None else str(options.into),
    )
    output = PredictionOutput(options, top=top, has_score=ood is not None)
    streams = options.prints and sys.stdout.isatty()
    with output, showing_work(shows_bars=not streams) as show:
        made = predict_images(request, output.take, min_probability=least, on_report=show)
    if options.as_json:
        print_json(_document(known, request, made, output))
    output.summarize()
    if output.counts.unreadable:
        raise typer.Exit(FAILED_EXIT)


def _share(text: str | None) -> float:
    """Return the number from 0 to 1 that ``text`` spells; None: 0."""
    try:
        share = 0.0 if text is None else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise CommandError(f"--min-probability is {text!r}, but must be a number from 0 to 1.")
    return share


def _utf8(paths: Sequence[str]) -> tuple[str, ...]:
    """Return paths that a request can hold."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise CommandError(f"The path {path!r} is not UTF-8. Rename it.") from None
    return tuple(paths)


def _from_stdin() -> tuple[str, ...]:
    """Return the paths on stdin: one a line, or separated by NUL as by ``find -print0``."""
    content = sys.stdin.buffer.read()
    parts = content.split(b"\0") if b"\0" in content else content.splitlines()
    return tuple(each.decode(errors="backslashreplace") for each in parts if each.strip())


def _document(
    run: Run, request: PredictImages, made: PredictionsMade, output: PredictionOutput
) -> dict[str, object]:
    """Return the predictions as one record."""
    folders = output.folders
    return {
        "run": run.run_id,
        "arm": made.arm,
        "at": request.at,
        "device": made.device,
        "classes": made.classes,
        "temperature": made.temperature,
        "ood": request.ood,
        "ood_threshold": made.threshold,
        "calibration": made.calibration,
        "images": made.images,
        "unreadable": made.unreadable,
        "unsure": output.counts.unsure,
        "counts": output.counts.classes,
        "into": folders
        and {
            "folder": os.fspath(folders.root),
            "made": folders.made,
            "present": folders.present,
        },
        "predictions": output.kept,
    }
