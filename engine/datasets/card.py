"""A data set that was given a name: a folder whose ``dataset.json`` says where its images lie."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from engine.datasets.reading import Reading
from engine.datasets.sources import FolderSource, ImageSource
from engine.datasets.tables import TableSource
from engine.errors import DataError
from engine.machine.disk import read_plain
from engine.protocol.spec import Layout
from engine.rundir import write_atomic

CARD_FILE: Final = "dataset.json"


class TableColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a table of images.

    Attributes:
        path: of each image.
        label: its class.
        domain: where it comes from.
        group: images of one value are all trained on or all held out; None: each by itself.
    """

    path: str = "path"
    label: str = "label"
    domain: str = "domain"
    group: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names: of path, label and domain, and of the group if there is one."""
        return (self.path, self.label, self.domain, *filter(None, [self.group]))


class DatasetCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the images of a data set lie, and which of them belong to it.

    Attributes:
        name: for ``--dataset``.
        root: path of the folder of domains, or of a CSV file; absolute where the images were
            registered in place, relative to the card's folder where they were imported.
        domains: those that are used; None: all.
        layout: how the folders are read; ``plain`` with ``below_domain``, as older cards have
            it, is ``domain/split/class``.
        wrapper: folders around the domains, each the only one.
        below_domain: folders of splits, such as ``train`` and ``test``; empty: none.
        classes: the label space where a domain lacks a class; None: what every domain has.
        excluded: paths below ``root`` that do not belong to it, such as known duplicates.
        table: columns, when ``root`` is a CSV file.
        images: of each domain when it was added; fewer now means that files were lost.
        origin: where imported images came from.
    """

    name: str
    root: str
    domains: tuple[str, ...] | None = None
    layout: Layout = "plain"
    wrapper: tuple[str, ...] = ()
    below_domain: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    excluded: frozenset[str] = frozenset()
    table: TableColumns | None = None
    images: dict[str, int] | None = None
    origin: str | None = None

    def source(self, folder: Path) -> ImageSource:
        """Return where the image files come from; ``folder`` is the card's.

        Raises:
            DataError: when it is a table that cannot be read.
        """
        if self.table is not None:
            return TableSource(folder / self.root, self.table.names, self.domains)
        layout = "domain/split/class" if self._has_inner_splits else self.layout
        reading = Reading(layout, self.wrapper, self.below_domain)
        return FolderSource(folder / self.root, reading, self.domains, self.excluded)

    @property
    def _has_inner_splits(self) -> bool:
        return self.layout == "plain" and bool(self.below_domain)


def write_card(folder: Path, card: DatasetCard) -> None:
    """Write a folder's card, in one step."""
    write_atomic(folder / CARD_FILE, msgspec.json.format(msgspec.json.encode(card), indent=2))


def read_card(folder: Path) -> DatasetCard | None:
    """Return a folder's card; None when it has none, or that of another program.

    Raises:
        DataError: when it is damaged.
    """
    try:
        content = read_plain(folder / CARD_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"{folder / CARD_FILE} cannot be read: {error}.") from None
    try:
        found = msgspec.json.decode(content)
        if isinstance(found, dict) and found.keys().isdisjoint(("name", "root")):
            return None  # such as the labels that StyleGAN keeps so
        return msgspec.convert(found, DatasetCard)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{folder / CARD_FILE} is damaged: {error}.") from None
