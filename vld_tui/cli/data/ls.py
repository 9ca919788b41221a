"""``vld data ls``: list data sets."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.protocol.datasets import DatasetListing, ListDatasets, unknown_dataset
from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.data.work import do_work
from vld_tui.cli.errors import CommandError
from vld_tui.cli.output import print_json, say, terminal_cells
from vld_tui.cli.session import this_home
from vld_tui.views.inventory import dataset_detail, dataset_table

NameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="Show this data set in detail.",
        show_default=False,
        autocompletion=proposes("data sets"),
    ),
]


def ls(ctx: typer.Context, name: NameArgument = None, as_json: JsonOption = False) -> None:
    """List data sets by name. To train on any other folder, use vld run --data."""
    request = ListDatasets(str(this_home(ctx, to_look=True).datasets))
    listings = do_work(request, list[DatasetListing])
    if name is not None:
        names = [listing.name for listing in listings]
        if name not in names:
            raise CommandError(unknown_dataset(name, names))
        listings = [listing for listing in listings if listing.name == name]
    if as_json:
        print_json(listings)
        return
    if name is None:
        lines = dataset_table(listings, cells=terminal_cells())
    else:
        lines = dataset_detail(listings[0])
    for line in lines:
        say(line)
