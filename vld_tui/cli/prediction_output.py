"""Where predictions go: files, class folders, stdout, or a list on the terminal."""

from __future__ import annotations

import contextlib
import inspect
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.errors import REPLACE_ADVICE, CommandError, check_choice, check_range
from vld_tui.cli.options import with_options
from vld_tui.cli.output import plain_console, print_text, say
from vld_tui.control.class_folders import ClassFolders
from vld_tui.control.predict import ImagePrediction
from vld_tui.control.prediction_files import (
    Encoder,
    PredictionWriter,
    csv_encoder,
    encode_lines,
    prediction_writer,
)
from vld_tui.home import nearest_existing
from vld_tui.views.image_predictions import (
    PredictionCounts,
    caption_of,
    picture_of,
    prediction_table,
    summary_line,
)
from vld_tui.words import use_help
from vld_tui.words.numbers import plural

TERMINAL_LIMIT: Final = 50
"""Images listed on a terminal."""
LISTED_PROBLEMS: Final = 10
"""Unreadable images that stderr names."""
ORDERS: Final = ("input", "doubt")
_OUTPUT: Final = "Output"

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write a file: .csv, .tsv, .jsonl or .parquet.",
        rich_help_panel=_OUTPUT,
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace the file of -o if it exists.", rich_help_panel=_OUTPUT),
]
CsvOption = Annotated[
    bool,
    typer.Option(
        "--csv", help="Print CSV to stdout (the default in a pipe).", rich_help_panel=_OUTPUT
    ),
]
LinesOption = Annotated[
    bool,
    typer.Option("--jsonl", help="Print JSON lines to stdout.", rich_help_panel=_OUTPUT),
]
IntoOption = Annotated[
    Path | None,
    typer.Option(
        "--into",
        metavar="DIR",
        help=use_help.INTO,
        rich_help_panel=_OUTPUT,
    ),
]
LinkOption = Annotated[
    bool,
    typer.Option(
        "--link",
        help="With --into: make symbolic links instead of copies.",
        rich_help_panel=_OUTPUT,
    ),
]
SortOption = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="|".join(ORDERS),
        help="Order of the results: as found, or doubtful ones (lowest probability) first.",
        rich_help_panel=_OUTPUT,
        autocompletion=proposes(ORDERS),
    ),
]
LimitOption = Annotated[
    int,
    typer.Option(
        "--limit",
        "-n",
        metavar="N",
        help="Maximum number of images listed on a terminal; 0: all.",
        rich_help_panel=_OUTPUT,
    ),
]
PicturesOption = Annotated[
    bool,
    typer.Option("--pictures", help="Draw the images on the terminal.", rich_help_panel=_OUTPUT),
]


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the predictions go, and in which order."""

    output: FileOption = None
    force: ForceOption = False
    as_csv: CsvOption = False
    as_lines: LinesOption = False
    as_json: JsonOption = False
    into: IntoOption = None
    link: LinkOption = False
    sort: SortOption = "input"
    limit: LimitOption = TERMINAL_LIMIT
    pictures: PicturesOption = False

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> OutputOptions:
        """Take these options out of a command's."""
        return cls(**{name: given.pop(name) for name in inspect.signature(cls).parameters})

    def check(self) -> None:
        """Check the options, before anything is done.

        Raises:
            CommandError: for an invalid option, or ones that exclude each other.
        """
        if sum((self.as_json, self.as_csv, self.as_lines, self.pictures)) > 1:
            raise CommandError("Pass only one of --json, --csv, --jsonl and --pictures.")
        if self.pictures and not sys.stdout.isatty():
            raise CommandError("--pictures needs a terminal.")
        check_choice("--sort", self.sort, ORDERS)
        if self.link and self.into is None:
            raise CommandError("--link needs --into DIR.")
        if self.force and self.output is None:
            raise CommandError("--force needs -o FILE.")
        if self.into is not None:
            there = nearest_existing(self.into)
            if not there.is_dir():
                raise CommandError(f"--into {self.into}: {there} is not a folder.")
        check_range("--limit", self.limit, 0)

    @property
    def prints(self) -> bool:
        """Return whether predictions are printed while they are made."""
        return self.as_csv or self.as_lines or not (self._go_elsewhere or sys.stdout.isatty())

    @property
    def lists(self) -> bool:
        """Return whether predictions are listed on the terminal."""
        return self.pictures or not (self._go_elsewhere or self.prints)

    @property
    def _go_elsewhere(self) -> bool:
        return self.as_json or self.output is not None or self.into is not None


def with_output_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give ``function`` the options of :class:`OutputOptions`, which arrive in ``given``."""
    options = inspect.signature(OutputOptions, eval_str=True).parameters.values()
    return with_options(function, options)


class PredictionOutput:
    """Takes predictions to all outputs; as a context, finishes them however it ends."""

    def __init__(self, options: OutputOptions, *, top: int, has_score: bool) -> None:
        self.counts = PredictionCounts()
        self.kept: list[ImagePrediction] = []
        self.folders = None
        if options.into is not None:
            self.folders = ClassFolders(options.into, links=options.link)
        self._options = options
        self._problems: list[ImagePrediction] = []
        self._writers: list[PredictionWriter] = []
        if options.output is not None:
            file = prediction_writer(
                options.output, top=top, replaces=options.force, advice=REPLACE_ADVICE
            )
            self._writers.append(file)
        if options.prints:
            encoder = encode_lines if options.as_lines else csv_encoder(top)
            self._writers.append(_Printer(encoder))
        if options.lists:
            self._writers.append(_Listing(options, top=top, has_score=has_score))
        self._keeps = options.as_json or options.sort == "doubt"

    def __enter__(self) -> PredictionOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.ExitStack() as stack:  # closes each, whatever fails
            for writer in reversed(self._writers):
                stack.callback(writer.close)
            if self._options.sort == "doubt" and self.kept:
                self.kept.sort(key=lambda each: each.doubt, reverse=True)
                self._write(self.kept)
        if kind is KeyboardInterrupt and self.counts.images:
            done = plural(self.counts.images, "image")
            say(f"interrupted after {done}; the results so far are kept", to_stderr=True)

    def take(self, predictions: Sequence[ImagePrediction]) -> None:
        """Take some predictions."""
        self.counts.add(predictions)
        self._problems += [each for each in predictions if each.problem is not None]
        del self._problems[LISTED_PROBLEMS:]
        if self._keeps:
            self.kept.extend(predictions)
        if self._options.sort == "input":
            self._write(predictions)
        if self.folders is not None:
            for each in predictions:
                if each.problem is None:
                    self.folders.place(each.path, each.class_name)

    def summarize(self) -> None:
        """Print which images are unreadable, and how many were predicted as what, to stderr."""
        for each in self._problems:
            say(f"{each.path} cannot be read: {each.problem}", to_stderr=True)
        if more := self.counts.unreadable - len(self._problems):
            say(f"… and {plural(more, 'more image')} cannot be read", to_stderr=True)
        if self._options.as_json:
            return
        say(summary_line(self.counts), to_stderr=True)
        if self.folders is not None:
            what = "linked" if self._options.link else "copied"
            there = f", {self.folders.present:,} already there" if self.folders.present else ""
            say(f"{self.folders.made:,} {what} into {self.folders.root}{there}", to_stderr=True)

    def _write(self, predictions: Sequence[ImagePrediction]) -> None:
        for writer in self._writers:
            writer.write(predictions)


class _Printer:
    """Prints predictions to stdout as they come."""

    def __init__(self, encode: Encoder) -> None:
        self._encode = encode

    def write(self, predictions: Sequence[ImagePrediction]) -> None:
        print_text(self._encode(predictions))

    def close(self) -> None:
        pass


class _Listing:
    """Lists the first predictions on the terminal at the end."""

    def __init__(self, options: OutputOptions, *, top: int, has_score: bool) -> None:
        self._options, self._top, self._has_score = options, top, has_score
        self._shown: list[ImagePrediction] = []
        self._hidden = 0

    def write(self, predictions: Sequence[ImagePrediction]) -> None:
        most = self._options.limit or len(self._shown) + len(predictions)
        shown = predictions[: most - len(self._shown)]
        self._shown.extend(shown)
        self._hidden += len(predictions) - len(shown)

    def close(self) -> None:
        if not self._shown:
            return
        console = plain_console()
        if self._options.pictures:
            for each in self._shown:
                console.print(picture_of(each.path, is_colourless=console.no_color))
                console.print(caption_of(each))
        else:
            cells = shutil.get_terminal_size().columns
            table = prediction_table(self._shown, cells, top=self._top, has_score=self._has_score)
            console.print(table, no_wrap=True, overflow="ignore", crop=False)
        if self._hidden:
            more = plural(self._hidden, "more image")
            console.print(f"… and {more}; list all with --limit 0 or -o FILE.", style="dim")
