"""``vld data add``: give images a name."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from engine.protocol.datasets import AddDataset, DatasetListing
from vld_tui.cli.command import JsonOption
from vld_tui.cli.data.named import refuse_busy
from vld_tui.cli.data.work import LayoutOption, checked_layout, do_work
from vld_tui.cli.hints import with_home
from vld_tui.cli.output import print_json, say
from vld_tui.cli.session import open_store, this_home
from vld_tui.views.inventory import dataset_detail

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="For --dataset.")]
PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="A folder of domain/class/image, a table (.csv, .tsv), a zip or tar archive, "
        "or parquet files.",
    ),
]
DomainsOption = Annotated[
    str | None, typer.Option("--domains", metavar="A,B,…", help="Only these domains.")
]
ExcludeOption = Annotated[
    str | None,
    typer.Option("--exclude", metavar="FILE", help="Paths to leave out, one a line."),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group-column",
        metavar="NAME",
        help="Of a table, such as patient: images of one value are all trained on or all held out.",
    ),
]
KeepOption = Annotated[
    bool,
    typer.Option("--keep-missing-classes", help="Keep a class that some domain lacks."),
]

ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace the data set of that name, if there is one.")
]


def add(
    ctx: typer.Context,
    name: NameArgument,
    path: PathArgument,
    domains: DomainsOption = None,
    exclude: ExcludeOption = None,
    keep_missing_classes: KeepOption = False,
    layout: LayoutOption = "auto",
    group_column: GroupOption = None,
    path_column: Annotated[str, typer.Option(metavar="NAME", help="Of a CSV table.")] = "path",
    image_column: Annotated[str, typer.Option(metavar="NAME", help="Of parquet files.")] = "image",
    label_column: Annotated[str, typer.Option(metavar="NAME", help="Of either.")] = "label",
    domain_column: Annotated[str, typer.Option(metavar="NAME", help="Of either.")] = "domain",
    replaces: ReplaceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Register a folder or a table where it lies; import what is packed."""
    wanted = None
    if domains is not None:
        wanted = tuple(part.strip() for part in domains.split(",") if part.strip())
    request = AddDataset(
        root=str(this_home(ctx).datasets),
        name=name,
        path=str(Path(os.path.expanduser(path)).absolute()),
        domains=wanted,
        exclude=exclude and str(Path(os.path.expanduser(exclude)).absolute()),
        keep_missing_classes=keep_missing_classes,
        layout=checked_layout(layout),
        path_column=path_column,
        group_column=group_column,
        label_column=label_column,
        domain_column=domain_column,
        image_column=image_column,
        replaces=replaces,
    )
    if replaces:
        with open_store(ctx) as store:
            refuse_busy(store, name)
    tell_listing(do_work(request, DatasetListing), as_json=as_json)


def tell_listing(listing: DatasetListing, *, as_json: bool) -> None:
    """Print a data set that was just added, and what is worth typing next."""
    if as_json:
        print_json(listing)
        return
    for line in dataset_detail(listing):
        say(line)
    words, purpose = ["vld", "run", "--dataset", listing.name], "leaves that one out"
    if len(listing.domains) == 1:
        purpose = "one domain: no OOD accuracy; vld data shift makes domains"
    else:
        words += ["--target", listing.domains[-1].name]
    say(with_home(f"  {shlex.join(words)}  # {purpose}"))
