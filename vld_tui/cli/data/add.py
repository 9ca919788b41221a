"""``vld data add``: register images as a data set."""

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
from vld_tui.cli.output import print_json, say, suggest
from vld_tui.cli.session import open_store, this_home
from vld_tui.views.inventory import dataset_detail

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the data set, for --dataset.")
]
PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="Folder of domain/class/image, table (.csv, .tsv), zip or tar archive, or parquet "
        "files.",
    ),
]
DomainsOption = Annotated[
    str | None, typer.Option("--domains", metavar="A,B,…", help="Use only these domains.")
]
ExcludeOption = Annotated[
    str | None,
    typer.Option("--exclude", metavar="FILE", help="File of image paths to exclude, one per line."),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group-column",
        metavar="NAME",
        help="Table column of groups, such as patient; a group is never split by validation.",
    ),
]
KeepOption = Annotated[
    bool,
    typer.Option("--keep-missing-classes", help="Keep classes that are missing from some domains."),
]

ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace an existing data set of that name.")
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
    path_column: Annotated[
        str, typer.Option(metavar="NAME", help="Path column of the table.")
    ] = "path",
    image_column: Annotated[
        str, typer.Option(metavar="NAME", help="Image column of parquet files.")
    ] = "image",
    label_column: Annotated[str, typer.Option(metavar="NAME", help="Label column.")] = "label",
    domain_column: Annotated[str, typer.Option(metavar="NAME", help="Domain column.")] = "domain",
    replaces: ReplaceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Folders and tables are used in place; archives and parquet files are imported."""
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
    """Print an added data set and the next commands."""
    if as_json:
        print_json(listing)
        return
    for line in dataset_detail(listing):
        say(line)
    words = ["vld", "run", "--dataset", listing.name]
    if len(listing.domains) == 1:
        purpose = "single domain: no OOD accuracy (vld data shift creates domains)"
    else:
        words += ["--target", listing.domains[-1].name]
        purpose = "train with that domain as the target"
    suggest([(shlex.join(words), purpose)])
