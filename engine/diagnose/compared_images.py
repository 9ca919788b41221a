"""Images that are compared with one another, found and checked without torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.datasets.contact_sheet import refuse_unwritable
from engine.diagnose.chosen_images import ChosenImages, choose_images
from engine.errors import DataError
from engine.protocol.data_shift import MeasureShift
from engine.protocol.domain_distances import CompareDomains
from engine.protocol.fields import nearest
from engine.protocol.nearest_images import FindNearest
from engine.text import counted, listed


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
    compared = ComparedImages(choose_images(request.images), choose_images(request.real))
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


def open_target(request: MeasureShift) -> ChosenImages:
    """Return the images of a domain and of the others that it is compared with.

    Raises:
        DataError: if they cannot be read, the domain does not exist, or there is no other.
    """
    chosen = choose_images(request.images)
    domains = sorted({chosen.image_set.files[row].domain for row in chosen.rows})
    if request.target not in domains:
        raise DataError(
            f"{chosen.image_set.name} has no domain {request.target!r}."
            f"{nearest(request.target, domains)} Its domains: {listed(domains)}."
        )
    if len(domains) < 2:
        raise DataError(
            f"{chosen.image_set.name} has one domain, so there is nothing to compare it with."
        )
    return chosen


def open_domains(request: CompareDomains) -> ChosenImages:
    """Return the images whose domains are to be compared.

    Raises:
        DataError: if they cannot be read, or there are fewer than two domains.
    """
    chosen = choose_images(request.images)
    domains = {chosen.image_set.files[row].domain for row in chosen.rows}
    if len(domains) < 2:
        raise DataError(
            f"{chosen.image_set.name} has {counted(len(domains), 'domain')}; distances between "
            "domains need at least two. Leave out --distances."
        )
    return chosen
