"""The two sets of images that ``vld data nearest`` compares, found and checked without torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.datasets.catalog import find_image_set
from engine.datasets.contact_sheet import refuse_unwritable
from engine.datasets.folders import ImageSet
from engine.errors import DataError
from engine.inference.labelled import wanted_domains
from engine.protocol import spec_from_mapping
from engine.protocol.fields import nearest
from engine.protocol.nearest_images import FindNearest, ImagesOf
from engine.text import counted, listed


class ChosenImages(NamedTuple):
    """A data set, and the rows of the images of the chosen domains."""

    image_set: ImageSet
    rows: tuple[int, ...]

    @property
    def classes(self) -> set[str]:
        """Return the classes that have images."""
        return {self.image_set.files[row].class_name for row in self.rows}

    @property
    def places(self) -> set[Path]:
        """Return where the images are."""
        root = self.image_set.location.resolve()
        return {root / self.image_set.files[row].path for row in self.rows}


class ComparedImages(NamedTuple):
    """The images to choose from, and the real ones."""

    images: ChosenImages
    real: ChosenImages


def open_compared(request: FindNearest) -> ComparedImages:
    """Return the images to compare.

    Raises:
        DataError: if they cannot be read or compared, or the exclude list cannot be written.
    """
    if request.out is not None:
        refuse_unwritable(Path(request.out))
    compared = ComparedImages(_chosen(request.images), _chosen(request.real))
    images, real = compared
    if same := images.places & real.places:
        raise DataError(
            f"{counted(len(same), 'image')} of {images.image_set.name} would be compared with "
            f"themselves, for example {min(same)}. Choose other domains with --domains and "
            "--to-domains."
        )
    if missing := sorted(images.classes - real.classes):
        raise DataError(
            f"{real.image_set.name} has no images of {listed(missing)}, so there is nothing to "
            f"compare those of {images.image_set.name} with."
            f"{nearest(missing[0], real.classes)} Rename the classes, or leave them out."
        )
    return compared


def _chosen(images: ImagesOf) -> ChosenImages:
    given = {"dataset": images.dataset, "data_dir": images.data_dir, "layout": images.layout}
    image_set = find_image_set(spec_from_mapping(given), use="test")
    domains = wanted_domains(image_set, images.domains)
    rows = (row for row, file in enumerate(image_set.files) if file.domain in domains)
    return ChosenImages(image_set, tuple(rows))
