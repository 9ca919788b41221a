"""Creation of domains from a table column, such as hospital, camera or year."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.datasets.card import DatasetCard, TableColumns
from engine.datasets.folders import counted, listed
from engine.datasets.imports import staged
from engine.datasets.layouts import find_class_images
from engine.datasets.named_sets import check_name
from engine.datasets.progress import Reporter
from engine.datasets.register import register
from engine.datasets.sources import ImageFile
from engine.datasets.tables import read_columns
from engine.errors import DataError
from engine.protocol.datasets import AddDataset, DatasetListing, SplitDataset, WorkNote

TABLE_FILE: Final = "images.csv"


def split_dataset(request: SplitDataset, report: Reporter) -> DatasetListing:
    """Register a folder of ``class/image`` whose domains are in a table column.

    Raises:
        DataError: if the folder or table cannot be read, they do not match, or the name is taken;
            nothing is left behind.
    """
    root, source = Path(request.root) / request.name, Path(request.path)
    check_name(request.name, root)
    files = find_class_images(source, request.layout)
    columns = (request.path_column, request.domain_column)
    rows = list(read_columns(Path(request.table), columns))
    domain_of = _match(files, rows)
    if not domain_of:
        raise DataError(
            f"No {request.path_column} in {request.table} matches an image of {source} (for "
            f"example {rows[0][0] if rows else 'no rows'}; an image is {files[0].path})."
        )
    if len(found := sorted(set(domain_of.values()))) == 1:
        raise DataError(
            f"{request.table} puts every image into one domain, {found[0]}. Choose another "
            "--domain-column."
        )
    if left_out := [file.path for file in files if file.path not in domain_of]:
        images = f"{counted(len(left_out), 'image')} {'is' if len(left_out) == 1 else 'are'}"
        report(WorkNote(f"{images} not in the table: {listed(left_out)}"))
    with staged(root) as stage:
        with (stage / TABLE_FILE).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("path", "label", "domain"))
            for each in files:
                if each.path in domain_of:
                    domain = domain_of[each.path]
                    table.writerow((source / each.path, each.class_name, domain))
        origin = f"{source}, split by {request.domain_column} of {request.table}"
        card = DatasetCard(request.name, TABLE_FILE, table=TableColumns(), origin=origin)
        plain = AddDataset(request.root, request.name, request.path)
        return register(card, stage, root, plain)


def _match(files: Sequence[ImageFile], rows: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Return the domain of each image listed in a row by its path or its unique name."""
    paths = {file.path for file in files}
    names = Counter(Path(file.path).name for file in files)
    by_name = {name: file.path for file in files if names[name := Path(file.path).name] == 1}
    domain_of: dict[str, str] = {}
    for given, domain in rows:
        path = given if given in paths else by_name.get(Path(given).name)
        if path is None:
            continue
        if domain_of.setdefault(path, domain) != domain:
            raise DataError(
                f"The table puts {path} into two domains, {domain_of[path]} and {domain}."
            )
    return domain_of
