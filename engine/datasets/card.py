"""The card of an added data set: ``dataset.json``, which describes where its images are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from engine.datasets.corrections import CorrectedSource, Corrections
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
        path: image path.
        label: class.
        domain: domain.
        group: group, which is trained on or held out as a whole; None: no groups.
    """

    path: str = "path"
    label: str = "label"
    domain: str = "domain"
    group: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns' names: path, label, domain and, if given, group."""
        return (self.path, self.label, self.domain, *filter(None, [self.group]))


class DatasetCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the images of a data set are, and which of them are used.

    Attributes:
        name: for ``--dataset``.
        root: path of the folder of domains or of a CSV file; absolute if registered in place,
            relative to the card's folder if imported.
        domains: domains to use; None: all.
        layout: folder layout; ``plain`` with ``below_domain``, as in older cards, is
            ``domain/split/class``.
        wrapper: nested single folders around the domains.
        below_domain: split folders, such as ``train`` and ``test``; empty: none.
        classes: label space if domains may lack classes; None: every domain has all classes.
        excluded: paths relative to ``root`` to exclude, such as known duplicates.
        relabelled: classes by paths of images that have another one in ``root``.
        chosen_on: domains that images were chosen by their distance to.
        table: columns if ``root`` is a CSV file.
        images: image counts by domain when added, to detect lost files.
        origin: source of imported images.
        licenses: licence of the images by domain, if known.
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
    licenses: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    relabelled: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    chosen_on: frozenset[str] | msgspec.UnsetType = msgspec.UNSET

    def source(self, folder: Path, *, keeps_problems: bool = False) -> ImageSource:
        """Return the source of the image files; ``folder`` is the card's folder.

        ``keeps_problems``: see :class:`TableSource`.

        Raises:
            DataError: if it is a table that cannot be read.
        """
        source = self._whole_source(folder, keeps_problems=keeps_problems)
        corrections = self.corrections
        if not corrections:
            return source
        return CorrectedSource(source, corrections, may_lack_classes=self.classes is not None)

    @property
    def corrections(self) -> Corrections:
        """Return the exclude list that the data set was added with."""
        return Corrections(
            self.excluded, self.relabelled or {}, self.chosen_on or frozenset(),
            f"The exclude list of {self.name}", must_match=False,
        )  # fmt: skip

    def _whole_source(self, folder: Path, *, keeps_problems: bool) -> ImageSource:
        if self.table is not None:
            return TableSource(
                folder / self.root, self.table.names, self.domains, keeps_problems=keeps_problems
            )
        layout = "domain/split/class" if self._has_inner_splits else self.layout
        reading = Reading(layout, self.wrapper, self.below_domain)
        return FolderSource(folder / self.root, reading, self.domains)

    @property
    def _has_inner_splits(self) -> bool:
        return self.layout == "plain" and bool(self.below_domain)


def write_card(folder: Path, card: DatasetCard) -> None:
    """Write a folder's card atomically."""
    write_atomic(folder / CARD_FILE, msgspec.json.format(msgspec.json.encode(card), indent=2))


def read_card(folder: Path) -> DatasetCard | None:
    """Return a folder's card; None if it has none, or a file of another program.

    Raises:
        DataError: if it is damaged.
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
            return None  # such as StyleGAN's labels
        return msgspec.convert(found, DatasetCard)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{folder / CARD_FILE} is damaged: {error}.") from None
