"""``vld data cache`` and ``vld data shift``: images made from the images of a data set."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.protocol import FIELDS, resolve_spec
from engine.protocol.datasets import (
    CacheDataset,
    CacheEntry,
    CacheListing,
    DatasetListing,
    ListCache,
    RemoveCache,
    ShiftDataset,
    SplitDataset,
)
from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.data.sets import tell_listing
from vld_tui.cli.data.work import (
    ExcludeOption,
    LayoutOption,
    checked_layout,
    do_work,
    exclude_file,
    names_in,
)
from vld_tui.cli.errors import FAILED_EXIT, CommandError, YesOption, ask, check_range
from vld_tui.cli.output import print_json, say, terminal_cells
from vld_tui.cli.session import this_home
from vld_tui.home import absolute_path
from vld_tui.launch.datasets import values_of
from vld_tui.views.inventory import cache_table
from vld_tui.words.numbers import plural, size

CachedArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME|PATH]",
        help="Data set name (see vld data ls), or folder, table or archive of images. Without it, "
        "list what is cached.",
        show_default=False,
        autocompletion=proposes("data sets"),
    ),
]
RemoveOption = Annotated[
    bool,
    typer.Option("--remove", help="Remove cached images and features, of this data set or of all."),
]
CachedSizeOption = Annotated[
    int | None,
    typer.Option(
        "--image-size", metavar="PX", help="Side of the images (pixels). [default: as for vld run]"
    ),
]
SourceArgument = Annotated[
    str,
    typer.Argument(metavar="SRC", help="Folder of class/image or split/class/image."),
]
NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the new data set. [default: SRC-shift]"),
]
CorruptionsOption = Annotated[
    str | None,
    typer.Option(
        "--corruptions",
        metavar="all|A,B,…",
        help="Corruption groups (noise, blur, weather, digital) or single corruptions, such as "
        "fog. Each becomes a domain, in addition to the clean one.",
    ),
]
SeverityOption = Annotated[
    str,
    typer.Option(
        "--severity",
        metavar="1-5",
        help="Severity of the corruptions; several (1,3,5) create a domain each.",
    ),
]
PairedOption = Annotated[
    bool,
    typer.Option(
        "--paired",
        help="Put every image into every domain, so OOD is measured on images also seen in "
        "training. By default each image is in one domain only.",
    ),
]
ShiftedSizeOption = Annotated[
    int | None,
    typer.Option(
        "--image-size", metavar="PX", help="Side that images are resized to first (pixels)."
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split-by",
        metavar="CSV",
        help="Instead of corrupting, take domains from a column of this table, such as hospital.",
    ),
]


def cache(
    ctx: typer.Context,
    what: CachedArgument = None,
    image_size: CachedSizeOption = None,
    layout: LayoutOption = "auto",
    exclude: ExcludeOption = None,
    removes: RemoveOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Decode and resize every image of a data set, or list or remove what is cached.

    Features are computed by runs. Removed images and features are rebuilt when a run needs them.
    Exits with 1 if some images cannot be read.
    """
    if removes or what is None:
        if image_size is not None or layout != "auto" or exclude is not None:
            raise CommandError(
                "--image-size, --layout and --exclude only apply to decoding a data set: vld data "
                "cache NAME"
            )
        if removes:
            _remove_cached(ctx, what, yes=yes, as_json=as_json)
        else:
            _list_cached(ctx, as_json=as_json)
        return
    home = this_home(ctx)
    values = values_of(home, what)
    if image_size is not None:
        values["image_size"] = image_size
    spec = resolve_spec(values)
    request = CacheDataset(
        spec.data_dir or "", spec.image_size, str(home.cache), spec.dataset,
        checked_layout(layout), exclude_file(exclude),
    )  # fmt: skip
    made = do_work(request, CacheListing)
    if as_json:
        print_json(made)
    else:
        say(f"{plural(made.images, 'image')} at {spec.image_size} px: {size(made.size_bytes)}")
        for file, why in made.unreadable.items():
            say(f"  {file}: {why}", to_stderr=True)
    if made.unreadable:
        raise typer.Exit(FAILED_EXIT)


def _list_cached(ctx: typer.Context, *, as_json: bool) -> None:
    found = do_work(ListCache(str(this_home(ctx, to_look=True).cache)), list[CacheEntry])
    if as_json:
        print_json(found)
        return
    for line in cache_table(found, cells=terminal_cells()) if found else ("nothing is cached",):
        say(line)


def _remove_cached(ctx: typer.Context, what: str | None, *, yes: bool, as_json: bool) -> None:
    home = this_home(ctx)
    name = None if what is None else absolute_path(what).resolve().name  # as it was cached
    found = do_work(ListCache(str(home.cache), name), list[CacheEntry])
    if name is not None and not found:
        raise CommandError(
            f"{name} has no cached images or features. List what is cached with: vld data cache"
        )
    if found and not yes:
        for line in cache_table(found, cells=terminal_cells()):
            say(line, to_stderr=True)
        ask("Remove them?", refusal="Nothing was removed.", hint="Pass --yes to confirm.")
    keys = tuple(entry.key for entry in found)
    removed = do_work(RemoveCache(str(home.cache), keys), list[CacheEntry])
    if as_json:
        print_json(removed)
        return
    say(f"removed {size(sum(entry.size_bytes for entry in removed))}")
    if len(removed) < len(found):
        say(f"{len(found) - len(removed)} in use: kept", to_stderr=True)


def shift(
    ctx: typer.Context,
    source: SourceArgument,
    name: NameOption = None,
    corruptions: CorruptionsOption = None,
    severity: SeverityOption = "3",
    paired: PairedOption = False,
    image_size: ShiftedSizeOption = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 0,
    split_by: SplitOption = None,
    path_column: Annotated[str, typer.Option(metavar="NAME", help="Path column of CSV.")] = "path",
    domain_column: Annotated[
        str, typer.Option(metavar="NAME", help="Domain column of CSV.")
    ] = "domain",
    layout: LayoutOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Corrupt images, or take domains from a table, and add the result as a data set."""
    if (corruptions is None) == (split_by is None):
        raise CommandError("Pass either --corruptions (all: every group) or --split-by.")
    check_range("--image-size", image_size, 32, 1024)
    check_range("--seed", seed, 0)
    path = absolute_path(source)
    root, called = str(this_home(ctx).datasets), name or f"{path.name}-shift"
    read_as = checked_layout(layout)
    request: ShiftDataset | SplitDataset
    if split_by is not None:
        table = str(absolute_path(split_by))
        request = SplitDataset(root, called, str(path), table, path_column, domain_column, read_as)
    else:
        named = names_in(corruptions)
        side = FIELDS["image_size"].default if image_size is None else image_size
        request = ShiftDataset(
            root, called, str(path), named, _severities(severity), paired, side, seed, read_as
        )
    tell_listing(do_work(request, DatasetListing), as_json=as_json)


def _severities(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise CommandError(f"--severity is {text!r}, but must be numbers from 1 to 5.") from None
