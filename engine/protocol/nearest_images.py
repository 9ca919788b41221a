"""Artificial images near to real ones: request and answer of ``vld data nearest``."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from engine.protocol.exclude_lists import NEAR_DOMAIN
from engine.protocol.image_features import ImagesOf, ReadsFeatures

SHOWN_IMAGES: Final = 10
"""Nearest and farthest images that are named."""
LIST_COLUMNS: Final = ("distance", "nearest", NEAR_DOMAIN)
"""Further columns of the exclude list: the distance, the path of the nearest real image, and its
domain if it is of the same data set."""


class FindNearest(ReadsFeatures, frozen=True, kw_only=True, tag="nearest"):
    """Keep the images of a data set that are nearest to real ones. Response:
    :class:`NearestImages`.

    Attributes:
        images: the images to choose from.
        real: the images to compare with.
        keep: share of each class of each domain to keep.
        out: exclude list to write; None: none.
        tiles: PNG file with a row of the nearest images, a row of their nearest real images, and
            the same of the farthest, in unlabelled squares of ``TILE`` pixels; None: none.
    """

    images: ImagesOf
    real: ImagesOf
    keep: Annotated[float, Meta(gt=0, le=1)]
    out: str | None = None
    tiles: str | None = None


class NearestCount(msgspec.Struct, frozen=True):
    """The images of one class of one domain.

    Attributes:
        domain: of the images to choose from.
        class_name: their class.
        images: number of readable ones.
        kept: number of those that are kept.
        real: number of real images of the class.
        median: median distance.
        limit: largest distance of a kept image.
    """

    domain: str
    class_name: str
    images: int
    kept: int
    real: int
    median: float
    limit: float


class DistanceBin(msgspec.Struct, frozen=True):
    """The images at a distance from ``start`` to below ``stop``; the last bin includes it."""

    start: float
    stop: float
    kept: int
    excluded: int


class RankedImage(msgspec.Struct, frozen=True):
    """An image, its cosine distance to the nearest real image of its class, and that one's path."""

    path: str
    domain: str
    class_name: str
    distance: float
    nearest: str
    is_kept: bool


class NearestImages(msgspec.Struct, frozen=True):
    """Which images are near to real ones.

    Attributes:
        dataset: name of the data set to choose from.
        real: name of the other.
        real_domains: domains that were compared with.
        model: network of the features.
        weights: digest of its weights.
        keep: share that was asked for.
        counts: by domain and class.
        bins: histogram of all distances.
        nearest: the first images by distance.
        farthest: the last ones, the farthest first.
        unreadable: number of images of both that cannot be read.
        out: the exclude list, if it was written.
    """

    dataset: str
    real: str
    real_domains: tuple[str, ...]
    model: str
    weights: str
    keep: float
    counts: tuple[NearestCount, ...]
    bins: tuple[DistanceBin, ...]
    nearest: tuple[RankedImage, ...]
    farthest: tuple[RankedImage, ...]
    unreadable: int = 0
    out: str | None = None
