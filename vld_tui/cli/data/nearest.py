"""``vld data nearest``: keep the images of a data set that are nearest to real ones."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from engine.protocol import FIELDS, RunSpec
from engine.protocol.image_features import ImagesOf
from engine.protocol.nearest_images import FindNearest, NearestImages, RankedImage
from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.data.check import tile_rows
from vld_tui.cli.data.network import NETWORK_FIELDS, network_of, spec_of_images
from vld_tui.cli.data.work import WhatArgument, names_in
from vld_tui.cli.errors import REPLACE_ADVICE, CommandError, check_range
from vld_tui.cli.network import BatchOption
from vld_tui.cli.options import with_spec_options
from vld_tui.cli.output import print_json, say, suggest, terminal_cells
from vld_tui.cli.session import open_store
from vld_tui.cli.work import showing_work
from vld_tui.control.nearest_images import find_nearest
from vld_tui.control.new_files import check_free_name
from vld_tui.home import Home, absolute_path
from vld_tui.launch.datasets import values_of
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import bar, decimal, plural
from vld_tui.words.text import plain_text, shorten_middle

BAR_CELLS: Final = 40
ROWS: Final = ("nearest", "their nearest real images", "farthest", "their nearest real images")

ToOption = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="NAME|PATH",
        help="Real images: a data set, or a folder, table or archive. Not the target of a run.",
        autocompletion=proposes("data sets"),
    ),
]
KeepOption = Annotated[
    float,
    typer.Option(
        "--keep", metavar="X", help="Share of the images to keep, in each class of each domain."
    ),
]
DomainsOption = Annotated[
    str | None,
    typer.Option("--domains", metavar="A,B,…", help="Domains to choose from. [default: all]"),
]
ToDomainsOption = Annotated[
    str | None,
    typer.Option(
        "--to-domains", metavar="A,B,…", help="Domains of the real images. [default: all]"
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Write an exclude list (CSV) of the other images."
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace the file of --out if it exists.")
]
ShowOption = Annotated[
    bool,
    typer.Option("--show", help="Draw the nearest and the farthest images in the terminal."),
]


def nearest(
    ctx: typer.Context,
    what: WhatArgument,
    to: ToOption,
    keep: KeepOption,
    domains: DomainsOption = None,
    to_domains: ToDomainsOption = None,
    out: OutOption = None,
    force: ForceOption = False,
    show: ShowOption = False,
    batch: BatchOption = 64,
    as_json: JsonOption = False,
    **given: Any,
) -> None:
    """Keep the artificial images that are nearest to real ones.

    Compares features of the pre-trained network. Nothing is removed: --out writes a list for
    --exclude.
    """
    if not 0 < keep <= 1:
        raise CommandError(f"--keep is {keep:g}, but must be above 0 and at most 1.")
    check_range("--batch", batch, 1)
    if out is not None:
        check_free_name(out, replaces=force, refused=CommandError, advice=REPLACE_ADVICE)
    with open_store(ctx) as store, tempfile.TemporaryDirectory() as scratch:
        spec = spec_of_images(store.home, what, given)
        tiles = Path(scratch) / "tiles.png" if show and not as_json else None
        request = FindNearest(
            images=ImagesOf(spec.dataset, spec.data_dir, names_in(domains)),
            real=_images_of(store.home, to, to_domains),
            keep=keep,
            out=None if out is None else str(absolute_path(out)),
            tiles=None if tiles is None else str(tiles),
            **network_of(store.home, spec, batch),
        )
        with showing_work() as show_work:
            found = find_nearest(store, request, show_work)
        if as_json:
            print_json(found)
            return
        for line in nearest_lines(found, cells=terminal_cells()):
            say(line)
        if tiles is not None:
            _draw(tiles, len(found.nearest))
        if found.out is not None:
            say("")
            say(f"exclude list: {found.out}")
            command = _next_run(store.home, spec, found.out)
            suggest([(command, "train without the images that are not kept")])


with_spec_options(nearest, without=FIELDS.keys() - set(NETWORK_FIELDS))


def _images_of(home: Home, what: str, domains: str | None) -> ImagesOf:
    values = values_of(home, what)
    data_dir = values.get("data_dir")
    return ImagesOf(
        str(values["dataset"]), None if data_dir is None else str(data_dir), names_in(domains)
    )


def _next_run(home: Home, spec: RunSpec, file: str) -> str:
    images = ["--dataset", spec.dataset]
    if spec.data_dir is not None and Path(spec.data_dir) != home.datasets / spec.dataset:
        images = ["--data", spec.data_dir]
    return shlex.join(["vld", "run", *images, "--exclude", file])


def nearest_lines(found: NearestImages, *, cells: int | None) -> Iterator[str]:
    """Yield the counts by class, the histogram, and the nearest and farthest images.

    Args:
        found: the result.
        cells: width of the terminal; None: no terminal.
    """
    images, kept = (sum(getattr(n, name) for n in found.counts) for name in ("images", "kept"))
    domains = plain_text(", ".join(found.real_domains))
    yield (
        f"{plain_text(found.dataset)}  {kept:,} of {plural(images, 'image')} kept, the nearest in "
        f"each class to those of {plain_text(found.real)} ({domains})"
    )
    yield (
        "distance: 1 − cosine of the features to the nearest real image of the class; "
        f"{plain_text(found.model)}, weights {found.weights}"
    )
    if found.unreadable:
        yield f"! {plural(found.unreadable, 'image')} cannot be read and were left out"
    yield ""
    yield from _count_lines(found, cells)
    yield ""
    yield from _histogram(found)
    for title, ranked in (("nearest", found.nearest), ("farthest", found.farthest)):
        yield ""
        yield title
        yield from _ranked_lines(ranked, cells)


def _count_lines(found: NearestImages, cells: int | None) -> Iterator[str]:
    columns = (
        Column("domain", rank=101, shrinks=True),
        Column("class", rank=102, shrinks=True),
        Column("images", right=True),
        Column("kept", right=True),
        Column("real images", right=True),
        Column("median distance", right=True, rank=99),
        Column("kept up to", right=True),
    )
    rows = [
        [
            plain_text(each.domain), plain_text(each.class_name), f"{each.images:,}",
            f"{each.kept:,}", f"{each.real:,}", decimal(each.median), decimal(each.limit),
        ]
        for each in found.counts
    ]  # fmt: skip
    yield from table_lines(columns, rows, cells)


def _histogram(found: NearestImages) -> Iterator[str]:
    """Yield a line for each bin: the kept images as a full bar, the others as a light one."""
    most = max(each.kept + each.excluded for each in found.bins)
    yield "distance       images  kept"
    for each in found.bins:
        count = each.kept + each.excluded
        full = bar(each.kept / most, BAR_CELLS)
        light = "░" * (round(BAR_CELLS * count / most) - len(full))
        yield (
            f"{each.start:.3f}–{each.stop:.3f}  {count:>7,} {each.kept:>5,}  {full}{light}".rstrip()
        )


def _ranked_lines(ranked: Sequence[RankedImage], cells: int | None) -> Iterator[str]:
    room = None if cells is None else max(20, (cells - 22) // 2)

    def path(text: str) -> str:
        return plain_text(text) if room is None else shorten_middle(plain_text(text), room)

    for each in ranked:
        mark = "kept    " if each.is_kept else "excluded"
        yield f"  {each.distance:.3f}  {mark}  {path(each.path)} → {path(each.nearest)}"


def _draw(tiles: Path, count: int) -> None:
    """Draw the nearest and the farthest images, each above its nearest real image."""
    terminal = shutil.get_terminal_size().columns
    console = Console(width=terminal, highlight=False)
    numbers = [str(number) for number in range(1, count + 1)]
    for row in tile_rows(tiles, numbers, ROWS, cells=terminal, colour=not console.no_color):
        console.print(row)
