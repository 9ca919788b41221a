"""``vld data shift``: create domains from a single-domain data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.protocol import FIELDS
from engine.protocol.datasets import DatasetListing, ShiftDataset, SplitDataset
from vld_tui.cli.command import JsonOption
from vld_tui.cli.data.add import tell_listing
from vld_tui.cli.data.work import LayoutOption, checked_layout, do_work
from vld_tui.cli.errors import CommandError, check_range
from vld_tui.cli.session import this_home

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
SizeOption = Annotated[
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


def shift(
    ctx: typer.Context,
    source: SourceArgument,
    name: NameOption = None,
    corruptions: CorruptionsOption = None,
    severity: SeverityOption = "3",
    paired: PairedOption = False,
    image_size: SizeOption = None,
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
    path = Path(source).expanduser().absolute()
    root, called = str(this_home(ctx).datasets), name or f"{path.name}-shift"
    read_as = checked_layout(layout)
    request: ShiftDataset | SplitDataset
    if split_by is not None:
        table = str(Path(split_by).expanduser().absolute())
        request = SplitDataset(root, called, str(path), table, path_column, domain_column, read_as)
    else:
        assert corruptions is not None
        named = tuple(part.strip() for part in corruptions.split(",") if part.strip())
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
