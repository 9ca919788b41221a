"""``vld data check``: find what is wrong with an image set."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from PIL import Image
from rich.cells import set_cell_size
from rich.console import Console, RenderableType
from rich.text import Text

from engine.protocol import FIELDS
from engine.protocol.datasets import TILE, CheckDataset, CheckReport, Duplicate
from engine.protocol.domain_distances import ComparedDomains, CompareDomains
from engine.protocol.image_features import ImagesOf
from vld_tui.cli.command import JsonOption
from vld_tui.cli.data.network import NETWORK_FIELDS, network_of, spec_of_images
from vld_tui.cli.data.work import (
    ExcludeOption,
    LayoutOption,
    WhatArgument,
    checked_layout,
    do_work,
    exclude_file,
)
from vld_tui.cli.errors import FAILED_EXIT, CommandError, check_range
from vld_tui.cli.network import BatchOption
from vld_tui.cli.options import given_options, one_spelling, with_spec_options
from vld_tui.cli.output import print_json, say, terminal_cells
from vld_tui.cli.session import this_home
from vld_tui.cli.work import showing_work
from vld_tui.control.domain_distances import compare_domains
from vld_tui.home import Home, absolute_path
from vld_tui.launch.datasets import DatasetError, values_of
from vld_tui.runs.fields import spec_values
from vld_tui.views.domain_distances import distance_lines
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import plural
from vld_tui.words.palette import HEADING_STYLE
from vld_tui.words.text import plain_text, shorten_middle, width

SHOWN: Final = 10
"""Maximum files and pairs listed; ``--json`` has all."""
MOST_CLASS_ROWS: Final = 40
"""Maximum classes with their own row; more are summarised."""
NAME_CELLS: Final = 40
PIPED_CELLS: Final = 120
"""Width in which each domain gets a column without a terminal."""


def check_report_lines(
    report: CheckReport, *, cells: int | None, shows_all: bool = False
) -> Iterator[str]:
    """Yield the table of counts, the image properties, and the findings.

    Args:
        report: the check's report.
        cells: width of the terminal; None: no terminal.
        shows_all: list every class, file and pair.
    """
    images = sum(sum(classes.values()) for classes in report.counts.values())
    yield f"{plain_text(report.name)}  {plural(images, 'image')} in {plain_text(report.where)}"
    if report.reading:
        yield plain_text(report.reading)
    yield ""
    yield from _counts(report, cells, shows_all=shows_all)
    yield ""
    if report.short_sides is not None:
        least, median, largest = report.short_sides
        yield f"shorter side  {least} to {largest} px, median {median}"
    yield f"modes         {_listing(report.modes)}"
    yield f"formats       {_listing(report.formats)}"
    yield from _files(report, cells, None if shows_all else SHOWN)
    yield ""
    for finding in report.findings:
        yield f"{'✗' if finding.spoils else '!'} {plain_text(finding.text)}"
    if not any(finding.spoils for finding in report.findings):
        yield "✓ no errors" + (", only warnings" if report.findings else "")


def _counts(report: CheckReport, cells: int | None, *, shows_all: bool) -> Iterator[str]:
    domains = [_name(domain) for domain in report.counts]
    columns_cells = sum(max(width(domain), 7) + 2 for domain in domains) + 12
    is_wide = columns_cells > (cells or PIPED_CELLS)
    if not shows_all and (len(report.classes) > MOST_CLASS_ROWS or is_wide):
        yield from _summary(report, cells)
        return
    columns = [Column("class", rank=101, shrinks=True)]
    columns += [Column(domain, right=True) for domain in domains]
    of_domains = list(report.counts.values())
    rows = [
        [_name(name), *(f"{of_class.get(name, 0):,}" for of_class in of_domains)]
        for name in report.classes
    ]
    rows.append(["all", *(f"{sum(of_class.values()):,}" for of_class in of_domains)])
    yield from table_lines(columns, rows, cells)


def _summary(report: CheckReport, cells: int | None) -> Iterator[str]:
    """Yield a row for each domain: its images, its classes, the smallest and the largest."""
    columns = (
        Column("domain", rank=102, shrinks=True),
        Column("images", right=True, rank=101),
        Column("classes", right=True),
        Column("smallest class", shrinks=True, narrowest=20),
        Column("median", right=True, rank=99),
        Column("largest class", shrinks=True, narrowest=20),
    )
    rows = []
    for domain, counts in report.counts.items():
        ordered = sorted(counts, key=lambda name: (counts[name], name))
        rows.append(
            [
                _name(domain),
                f"{sum(counts.values()):,}",
                f"{len(counts):,}",
                "".join(f"{_name(each)} ({counts[each]:,})" for each in ordered[:1]),
                f"{int(statistics.median(counts.values() or [0])):,}",
                "".join(f"{_name(each)} ({counts[each]:,})" for each in ordered[-1:]),
            ]
        )
    yield from table_lines(columns, rows, cells)
    yield f"{plural(len(report.classes), 'class')}; list them with --all"


def _name(name: str) -> str:
    return shorten_middle(plain_text(name), NAME_CELLS)


def _files(report: CheckReport, cells: int | None, most: int | None) -> Iterator[str]:
    files = [f"{_path(path, cells, 1)}: {why}" for path, why in report.unreadable.items()]
    yield from _some("unreadable file", "", files, len(files), most)
    exact = [_pair(pair, "=", cells) for pair in report.exact_duplicates]
    yield from _some("identical pair", "", exact, len(exact), most)
    copies = [_pair(pair, "≈", cells) for pair in report.near_copies]
    count = report.near_copy_count
    yield from _some("near-identical pair", " within a domain", copies, count, most)
    near = [_pair(pair, "≈", cells) for pair in report.near_duplicates]
    yield from _some("similar pair", " across domains", near, report.near_duplicate_count, most)


def _pair(pair: Duplicate, sign: str, cells: int | None) -> str:
    if pair.one == pair.other:
        return f"{_path(pair.one, cells, 2)} in {pair.one_in} and {pair.other_in}"
    bits = f" ({plural(pair.bits, 'bit')})" if sign == "≈" else ""
    return f"{_path(pair.one, cells, 2)} {sign} {_path(pair.other, cells, 2)}{bits}"


def _path(path: str, cells: int | None, paths: int) -> str:
    """Return a path shortened so that ``paths`` of them fit a line."""
    return path if cells is None else shorten_middle(path, max(20, (cells - 14) // paths))


def _listing(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{plain_text(name)} {count:,}" for name, count in counts.items())


def _some(what: str, where: str, lines: list[str], count: int, most: int | None) -> Iterator[str]:
    if lines:
        yield ""
        yield f"{plural(count, what)}{where}:"
        shown = lines[:most]
        yield from (f"  {plain_text(line)}" for line in shown)
        if count > len(shown):
            yield f"  … and {count - len(shown):,} more; list all with --all or --json"


WIDEST: Final = 16
"""Maximum width of an image in cells."""
MOST_CLASSES: Final = 40
"""Maximum classes shown."""


def tile_rows(
    tiles: Path, domains: Sequence[str], classes: Sequence[str], *, cells: int, colour: bool
) -> Iterator[RenderableType]:
    """Yield the names of the domains, then each class's name and its images.

    Uses the best method that the terminal supports: sixels, kitty graphics, or coloured half
    blocks; without colour, grey characters.

    Args:
        tiles: the PNG of ``CheckDataset.tiles``.
        domains: names of its columns.
        classes: names of its rows.
        cells: width of the terminal.
        colour: whether to use colour.
    """
    # Importing it queries the terminal's capabilities, so import it only to draw images.
    from textual_image import renderable

    draw = renderable.Image if colour else renderable.UnicodeImage
    width = max(1, min(WIDEST, cells // len(domains)))
    heading = "".join(set_cell_size(plain_text(domain), width - 1) + " " for domain in domains)
    yield Text(heading.rstrip(), HEADING_STYLE, no_wrap=True, overflow="crop")
    with Image.open(tiles, formats=("PNG",)) as sheet:
        for row, class_name in enumerate(classes[:MOST_CLASSES]):
            yield Text(plain_text(class_name), no_wrap=True, overflow="ellipsis")
            box = (0, row * TILE, sheet.width, (row + 1) * TILE)
            yield draw(sheet.crop(box), width=width * len(domains), height="auto")
    if len(classes) > MOST_CLASSES:
        yield Text(
            f"… and {plural(len(classes) - MOST_CLASSES, 'more class')}; to draw all: --sheet"
        )


NearOption = Annotated[
    int,
    typer.Option(
        "--near",
        metavar="BITS",
        help="Report near-duplicates whose 64-bit perceptual hashes differ by at most this many "
        "bits; 0: exact copies only. [default: 4]",
        show_default=False,
    ),
]
SheetOption = Annotated[
    Path | None,
    typer.Option(
        "--sheet", metavar="FILE", help="Write a contact sheet of every class to a PNG file."
    ),
]

ShowOption = Annotated[
    bool, typer.Option("--show", help="Show an image of every class and domain in the terminal.")
]

AllOption = Annotated[
    bool, typer.Option("--all", help="List every class, file and pair, without a limit.")
]
FractionOption = Annotated[
    float,
    typer.Option(
        "--validation-fraction",
        metavar="F",
        help="Share of each domain held out for validation.",
    ),
]

DistancesOption = Annotated[
    bool,
    typer.Option(
        "--distances",
        help="Measure how far apart the domains are, in features of a pre-trained network.",
    ),
]


def check(
    ctx: typer.Context,
    what: WhatArgument,
    near: NearOption = 4,
    sheet: SheetOption = None,
    show: ShowOption = False,
    layout: LayoutOption = "auto",
    exclude: ExcludeOption = None,
    show_all: AllOption = False,
    validation_fraction: FractionOption = FIELDS["validation_fraction"].default,
    distances: DistancesOption = False,
    batch: BatchOption = 64,
    as_json: JsonOption = False,
    **given: Any,
) -> None:
    """Read, count and compare all images. Exits with 1 if a problem would invalidate a run."""
    check_range("--near", near, 0, 32)
    check_range("--batch", batch, 1)
    if not distances:
        flags = [FIELDS[name].flag for name in spec_values(one_spelling(given))]
        if needless := [*flags, *given_options(ctx, ["batch"])]:
            raise CommandError(f"{needless[0]} needs --distances.")
    if not 0 < validation_fraction < 1:
        raise CommandError(
            f"--validation-fraction is {validation_fraction:g}, but must be between 0 and 1."
        )
    home = this_home(ctx, to_look=not distances)
    found = values_of(home, what)
    with tempfile.TemporaryDirectory() as scratch:
        tiles = Path(scratch) / "tiles.png"
        request = CheckDataset(
            location=str(found.get("data_dir") or ""),
            name=str(found["dataset"]),
            near_distance=near,
            sheet=str(absolute_path(sheet)) if sheet else None,
            tiles=str(tiles) if show and not as_json else None,
            layout=checked_layout(layout),
            validation_fraction=validation_fraction,
            exclude=exclude_file(exclude),
        )
        report = _checked(request)
        if not as_json:
            _tell(report, sheet, tiles if show else None, shows_all=show_all)
    compared = _compare_domains(home, what, request, batch, given) if distances else None
    if as_json:
        of_domains = {} if compared is None else {"distances": compared}
        print_json({**msgspec.structs.asdict(report), **of_domains})
    elif compared is not None:
        for line in distance_lines(compared, terminal_cells()):
            say(line)
    if any(finding.spoils for finding in report.findings):
        raise typer.Exit(FAILED_EXIT)


with_spec_options(check, without=FIELDS.keys() - set(NETWORK_FIELDS))


def _checked(request: CheckDataset) -> CheckReport:
    try:
        return do_work(request, CheckReport)
    except DatasetError as error:  # no run could use it
        raise CommandError(str(error), exit_code=FAILED_EXIT) from None


def _compare_domains(
    home: Home, what: str, checked: CheckDataset, batch: int, given: dict[str, Any]
) -> ComparedDomains:
    spec = spec_of_images(home, what, given)
    images = ImagesOf(spec.dataset, spec.data_dir, layout=checked.layout, exclude=checked.exclude)
    request = CompareDomains(images=images, **network_of(home, spec, batch))
    with showing_work() as show_work:
        return compare_domains(request, show_work)


def _tell(report: CheckReport, sheet: Path | None, tiles: Path | None, *, shows_all: bool) -> None:
    terminal = shutil.get_terminal_size().columns
    if tiles is not None:
        console = Console(width=terminal, highlight=False)
        for row in tile_rows(
            tiles,
            list(report.counts),
            report.classes,
            cells=terminal,
            colour=not console.no_color,
        ):
            console.print(row)
    for line in check_report_lines(report, cells=terminal_cells(), shows_all=shows_all):
        say(line)
    if sheet is not None:
        say(f"contact sheet: {sheet}")
