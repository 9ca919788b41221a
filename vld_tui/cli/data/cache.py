"""``vld data cache``: decode images before runs need them."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.protocol import resolve_spec
from engine.protocol.datasets import CacheDataset, CacheListing
from vld_tui.cli.command import JsonOption
from vld_tui.cli.data.work import LayoutOption, WhatArgument, checked_layout, do_work
from vld_tui.cli.errors import FAILED_EXIT
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import this_home
from vld_tui.launch.datasets import values_of
from vld_tui.words.numbers import plural, size

SizeOption = Annotated[
    int | None,
    typer.Option(
        "--image-size", metavar="PX", help="Side of the images (pixels). [default: as for vld run]"
    ),
]


def cache(
    ctx: typer.Context,
    what: WhatArgument,
    image_size: SizeOption = None,
    layout: LayoutOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Decode and resize every image. Exits with 1 if some cannot be read."""
    home = this_home(ctx)
    values = values_of(home, what)
    if image_size is not None:
        values["image_size"] = image_size
    spec = resolve_spec(values)
    request = CacheDataset(
        spec.data_dir or "", spec.image_size, str(home.cache), spec.dataset, checked_layout(layout)
    )
    made = do_work(request, CacheListing)
    if as_json:
        print_json(made)
    else:
        say(f"{plural(made.images, 'image')} at {spec.image_size} px: {size(made.size_bytes)}")
        for file, why in made.unreadable.items():
            say(f"  {file}: {why}", to_stderr=True)
    if made.unreadable:
        raise typer.Exit(FAILED_EXIT)
