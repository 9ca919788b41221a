"""``vld data fetch``: download a published data set."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.protocol.datasets import STUDY_DATASETS, DatasetListing, FetchDataset
from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.data.add import tell_listing
from vld_tui.cli.data.work import do_work
from vld_tui.cli.session import this_home

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help=" | ".join(STUDY_DATASETS),
        autocompletion=proposes(tuple(STUDY_DATASETS)),
    ),
]


def fetch(ctx: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Download from the Hugging Face hub and import. Rerun the command to resume a download."""
    request = FetchDataset(str(this_home(ctx).datasets), name)
    tell_listing(do_work(request, DatasetListing), as_json=as_json)
