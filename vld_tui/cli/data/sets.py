"""``vld data ls``, ``add``, ``fetch``, ``mv`` and ``rm``: the data sets of a home."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from engine.protocol.datasets import (
    STUDY_DATASETS,
    AddDataset,
    DatasetListing,
    FetchDataset,
    ListDatasets,
    NamedSet,
    RemoveDataset,
    RenameDataset,
    unknown_dataset,
)
from vld_tui.cli.command import JsonOption, proposes
from vld_tui.cli.data.work import (
    ExcludeOption,
    LayoutOption,
    checked_layout,
    do_work,
    exclude_file,
    names_in,
)
from vld_tui.cli.errors import CommandError, YesOption, ask
from vld_tui.cli.output import print_json, say, suggest, terminal_cells, with_home
from vld_tui.cli.session import open_store, this_home
from vld_tui.home import absolute_path
from vld_tui.runs.run import Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store
from vld_tui.views.inventory import dataset_detail, dataset_table
from vld_tui.words.numbers import plural, size

ShownArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="Show this data set in detail.",
        show_default=False,
        autocompletion=proposes("data sets"),
    ),
]
AddedArgument = Annotated[
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
PackagesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DEB]...",
        help="objects only: Debian packages (.deb files) to use instead of downloading with apt.",
        show_default=False,
    ),
]
DomainsOption = Annotated[
    str | None, typer.Option("--domains", metavar="A,B,…", help="Use only these domains.")
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
PublishedArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help=" | ".join(STUDY_DATASETS),
        autocompletion=proposes(tuple(STUDY_DATASETS)),
    ),
]
_SHOWN_RUNS = 5
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Data set; list them with vld data ls.")
]
NewNameArgument = Annotated[str, typer.Argument(metavar="NEW", help="New name.")]


def ls(ctx: typer.Context, name: ShownArgument = None, as_json: JsonOption = False) -> None:
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


def add(
    ctx: typer.Context,
    name: AddedArgument,
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
    request = AddDataset(
        root=str(this_home(ctx).datasets),
        name=name,
        path=str(absolute_path(path)),
        domains=None if domains is None else names_in(domains),
        exclude=exclude_file(exclude),
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


def fetch(
    ctx: typer.Context,
    name: PublishedArgument,
    packages: PackagesArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Download from the Hugging Face hub, or objects with apt. Rerun to resume a download."""
    paths = tuple(str(absolute_path(path)) for path in packages or ())
    request = FetchDataset(str(this_home(ctx).datasets), name, paths)
    tell_listing(do_work(request, DatasetListing), as_json=as_json)


def rm(
    ctx: typer.Context,
    name: NameArgument,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Imported images are deleted permanently; images used in place are kept."""
    with open_store(ctx) as store:
        root = str(store.home.datasets)
        found = do_work(RemoveDataset(root, name, is_trial=True), NamedSet)
        idle = refuse_busy(store, name)
        if not yes:
            question = f"{_question(found)}{_of_idle(idle)}"
            ask(question, refusal="Nothing was deleted.", hint="Pass --yes to confirm.")
        do_work(RemoveDataset(root, name), NamedSet)
    if as_json:
        print_json(found)
    elif found.in_place is not None:
        say(f"removed {name}; its images are kept in {found.in_place}")
    else:
        say(f"deleted {name}: {plural(found.files, 'file')}, {size(found.size_bytes)}")


def mv(
    ctx: typer.Context, name: NameArgument, new_name: NewNameArgument, as_json: JsonOption = False
) -> None:
    """Runs in the history keep the old name."""
    with open_store(ctx) as store:
        idle = refuse_busy(store, name)
        renamed = do_work(RenameDataset(str(store.home.datasets), name, new_name), NamedSet)
    if as_json:
        print_json(renamed)
        return
    say(f"renamed {name} to {new_name}")
    if idle:
        runs = plural(len(idle), "unfinished run")
        first = with_home(f"vld data mv {new_name} {name}")
        say(f"  to resume {runs} of {name}, first run: {first}")


def refuse_busy(store: Store, name: str) -> list[Run]:
    """Check that no queued or running run uses a data set; return its other unfinished runs.

    Raises:
        CommandError: naming the runs.
    """
    store.live.refresh()
    runs = _runs_on(store, name)
    busy = [run for run in runs if run.is_live or run.has_job or run.status == "queued"]
    if busy:
        names = ", ".join(run.name for run in busy[:_SHOWN_RUNS])
        more = f" and {len(busy) - _SHOWN_RUNS} more" if len(busy) > _SHOWN_RUNS else ""
        raise CommandError(
            f"{name} is in use by {plural(len(busy), 'queued or running run')}: {names}{more}. "
            "Stop them (vld stop) or remove them from the queue (vld queue rm) first."
        )
    return [run for run in runs if run not in busy]


def _runs_on(store: Store, name: str) -> list[Run]:
    """Return the unfinished runs that use an added data set."""
    folder = (store.home.datasets / name).absolute()
    return [
        run
        for run in store.runs.find(Query.parse("not status=finished"))
        if run.has_spec and run.spec.data_dir and Path(run.spec.data_dir).is_relative_to(folder)
    ]


def _question(found: NamedSet) -> str:
    if found.in_place is not None:
        return f"Remove {found.name}? Its images are kept in {found.in_place}."
    files = f"{plural(found.files, 'file')}, {size(found.size_bytes)}"
    return f"Permanently delete {found.name} ({files} in {found.folder})?"


def _of_idle(idle: list[Run]) -> str:
    if not idle:
        return ""
    return f" It is needed to resume {plural(len(idle), 'unfinished run')}."
