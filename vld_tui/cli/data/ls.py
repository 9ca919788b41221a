"""``vld data ls``: what there is to train on."""

from __future__ import annotations

import typer

from engine.protocol.datasets import DatasetListing, ListDatasets
from vld_tui.cli.command import JsonOption
from vld_tui.cli.data.work import do_work
from vld_tui.cli.output import print_json
from vld_tui.cli.session import this_home
from vld_tui.views.inventory import dataset_lines


def ls(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Print the data sets known by name; ``--data`` takes any folder besides."""
    request = ListDatasets(str(this_home(ctx).datasets))
    listings = do_work(request, list[DatasetListing])
    if as_json:
        print_json(listings)
        return
    for line in dataset_lines(listings):
        typer.echo(line)
