"""``vld suspects``: rank a run's training images by how doubtful their label is."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from engine.protocol.suspects import MOST_BITS, NEAR_DISTANCE, QUANTILE, Suspect, Suspects
from vld_tui.cli.command import Command, JsonOption, RunArgument
from vld_tui.cli.errors import (
    FAILED_EXIT,
    REPLACE_ADVICE,
    CommandError,
    check_range,
    complain,
)
from vld_tui.cli.network import ComputingOptions, caution, find_run, with_computing_options
from vld_tui.cli.options import given_options
from vld_tui.cli.output import plain_console, print_json, print_text, say, terminal_cells
from vld_tui.cli.work import showing_work
from vld_tui.control.records import write_records
from vld_tui.control.suspects import (
    check_list_file,
    choose,
    find_suspects,
    stored_suspects,
    write_list,
)
from vld_tui.runs.suspects import suspect_rows, suspects_record
from vld_tui.views.image_predictions import draw
from vld_tui.views.suspects import suspect_caption, suspect_table, suspects_summary
from vld_tui.views.thumbnail import stored_picture
from vld_tui.words import use_help
from vld_tui.words.numbers import moment, plural

EPILOG: Final = (
    "The score of an image is the loss of its label minus the expected loss of a random label, "
    "without dropout, averaged over the checkpoints that the run kept. Neither the target nor its "
    "labels are read. The result is stored in the run's folder."
)
TERMINAL_LIMIT: Final = 50
"""Images listed on a terminal unless --top says how many."""
COMPUTED_WITH: Final = ("quantile", "near", "device", "batch", "threads")
"""Options of computing, which a stored result cannot have."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)

TopOption = Annotated[
    int | None,
    typer.Option(
        "--top",
        metavar="N",
        help="List and write this many images with the highest scores. [default: all suspects]",
    ),
]
QuantileOption = Annotated[
    float,
    typer.Option(
        "--quantile",
        metavar="0-1",
        help=use_help.QUANTILE,
    ),
]
NearOption = Annotated[
    int,
    typer.Option(
        "--near",
        metavar="BITS",
        help=use_help.NEAR,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write an exclude list (CSV), for vld run --exclude. Edit its column action first: "
        "exclude, relabel or keep.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file of -o if it exists.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV to stdout: a row per image.")]
PicturesOption = Annotated[
    bool, typer.Option("--pictures", help="Draw the images on the terminal.")
]
ShowOption = Annotated[
    bool, typer.Option("--show", help="Print the stored result; compute nothing.")
]


@app.command(cls=Command, epilog=EPILOG)
@with_computing_options
def suspects(
    ctx: typer.Context,
    run: RunArgument,
    top: TopOption = None,
    quantile: QuantileOption = QUANTILE,
    near: NearOption = NEAR_DISTANCE,
    out: OutOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    pictures: PicturesOption = False,
    show: ShowOption = False,
    **given: Any,
) -> None:
    """Rank a run's training images by how doubtful their label is."""
    _check_output(out, force=force, as_json=as_json, as_csv=as_csv, pictures=pictures)
    if not 0 <= quantile <= 1:
        raise CommandError(f"--quantile is {quantile}, but must be from 0 to 1.")
    check_range("--top", top, 1)
    check_range("--near", near, 0, MOST_BITS)
    computing = ComputingOptions(**given).computing()
    if show and (needless := given_options(ctx, COMPUTED_WITH)):
        raise CommandError(f"{needless[0]} does not apply to a stored result. Drop --show.")
    known, run_dir = find_run(ctx, run)
    problem = ""
    if show:
        found = stored_suspects(run_dir)
        say(f"stored result of {moment(found.made_at)}", to_stderr=True)
    else:
        with showing_work() as show_work:
            done = find_suspects(
                run_dir,
                quantile=quantile,
                near_distance=near,
                on_report=show_work,
                **computing,
            )
        found, problem = done.suspects, done.problem
    images = _chosen(found, top)
    if as_json:
        print_json(suspects_record(known.run_id, found, images))
    elif as_csv:
        text = io.StringIO()
        write_records(suspect_rows(images), text, [*suspect_rows(found.listed[:1])[0]])
        print_text(text.getvalue())
    else:
        _list(found, images, is_limited=top is None, draws=pictures)
    caution(known)
    if out is not None:
        write_list(out, images)
        say(f"{plural(len(images), 'image')} in {out}", to_stderr=True)
    if problem:
        complain(problem)
        raise typer.Exit(FAILED_EXIT)


def _check_output(
    out: Path | None, *, force: bool, as_json: bool, as_csv: bool, pictures: bool
) -> None:
    """Check where the result goes, before anything is computed."""
    if sum((as_json, as_csv, pictures)) > 1:
        raise CommandError("Pass only one of --json, --csv and --pictures.")
    if pictures and not sys.stdout.isatty():
        raise CommandError("--pictures needs a terminal.")
    if force and out is None:
        raise CommandError("--force needs -o FILE.")
    if out is not None:
        check_list_file(out, replaces=force, advice=REPLACE_ADVICE)


def _chosen(found: Suspects, top: int | None) -> Sequence[Suspect]:
    """Return the images to list; report if some of them are not stored."""
    images = choose(found, top)
    wanted = min(found.images, found.suspects if top is None else top)
    if len(images) < wanted:
        say(f"Only the first {len(images):,} of {wanted:,} images are stored.", to_stderr=True)
    return images


def _list(found: Suspects, images: Sequence[Suspect], *, is_limited: bool, draws: bool) -> None:
    """Print a table or the pictures of images, and how they were found."""
    cells = terminal_cells()
    shown = images[:TERMINAL_LIMIT] if is_limited and cells is not None else images
    console = plain_console()
    if draws:
        for each in shown:
            console.print(draw(stored_picture(each.picture), is_colourless=console.no_color))
            console.print(suspect_caption(each))
    elif shown:
        table = suspect_table(shown, cells)
        console.print(table, no_wrap=True, overflow="ignore", crop=False)
    if more := len(images) - len(shown):
        console.print(f"… and {plural(more, 'more image')}; list all with --csv.", style="dim")
    say(suspects_summary(found), to_stderr=True)
