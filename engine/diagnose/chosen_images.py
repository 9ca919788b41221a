"""Images of some domains of a data set, found and checked without torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.datasets.catalog import find_image_set
from engine.datasets.folders import ImageSet
from engine.inference.labelled import wanted_domains
from engine.protocol import spec_from_mapping
from engine.protocol.image_features import ImagesOf


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


def choose_images(images: ImagesOf) -> ChosenImages:
    """Return the images of the wanted domains.

    Raises:
        DataError: if they cannot be read.
    """
    given = {
        "dataset": images.dataset,
        "data_dir": images.data_dir,
        "layout": images.layout,
        "exclude": images.exclude,
    }
    image_set = find_image_set(spec_from_mapping(given), use="test")
    domains = wanted_domains(image_set, images.domains)
    rows = (row for row, file in enumerate(image_set.files) if file.domain in domains)
    return ChosenImages(image_set, tuple(rows))
