"""Detection of duplicate and nearly identical images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.datasets.folders import ImageSet
from engine.protocol.datasets import Duplicate

BLOCK: Final = 512
"""Images compared with all others per iteration."""
MOST_PAIRS: Final = 10_000
"""Maximum number of similar pairs that are listed; all are counted."""
MOST_LIKE_ONE: Final = 1000
"""Maximum number of comparisons per image; all single-colour images have the same hash."""
THUMBNAIL_SIDE: Final = 8
NEAR_COPY_LEVELS: Final = 4.0
"""Maximum mean difference (of 255 levels) between thumbnails of nearly identical images."""
SMALLER: Final = 0.6
"""Maximum ratio of sides at which a copy counts as a smaller copy, such as a thumbnail."""


class Signature(NamedTuple):
    """Features for comparing images.

    Attributes:
        phash: 64-bit perceptual hash of the greyscale image; similar images differ in few bits.
        thumbnail: (8, 8, 3) uint8.
        sides: width and height in pixels.
    """

    phash: int
    thumbnail: npt.NDArray[np.uint8]
    sides: tuple[int, int]


def signature_of(image: Image.Image) -> Signature:
    """Return the signature of an RGB image."""
    import imagehash  # only needed by checks; imports scipy

    small = image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    return Signature(int(str(imagehash.phash(image)), 16), np.asarray(small), image.size)


@dataclass
class NearDuplicates:
    """Pairs of similar images.

    Attributes:
        across: pairs of different domains with similar hashes, the first ones.
        within: nearly identical pairs of one domain, the first ones.
        across_count: number of all pairs of different domains.
        within_count: number of all pairs of one domain.
        copies: (N,) number of nearly identical images in the image's domain.
        elsewhere: (N, D) whether each domain has a nearly identical image.
        smaller: (N,) whether the image is a smaller copy of another in its domain.
        other_label: number of nearly identical pairs with different labels.
    """

    copies: npt.NDArray[np.int64]
    elsewhere: npt.NDArray[np.bool_]
    smaller: npt.NDArray[np.bool_]
    across: list[Duplicate] = field(default_factory=list)
    within: list[Duplicate] = field(default_factory=list)
    across_count: int = 0
    within_count: int = 0
    other_label: int = 0


def same_content(digests: Iterable[str | bytes]) -> list[list[int]]:
    """Return groups of indices of images with the same content.

    ``digests`` are in image order; empty for unreadable images.
    """
    groups: dict[str | bytes, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        if digest:
            groups[digest].append(index)
    return [group for group in groups.values() if len(group) > 1]


def exact_duplicates(image_set: ImageSet, groups: Sequence[Sequence[int]]) -> Iterator[Duplicate]:
    """Yield pairs of files with the same content, each with the first such file."""
    for first, *others in groups:
        yield from (_pair(image_set, first, other, 0) for other in others)


def near_duplicates(
    image_set: ImageSet,
    digests: Sequence[str],
    signatures: Sequence[Signature | None],
    most_bits: int,
) -> NearDuplicates:
    """Compare all pairs of images with different content.

    Args:
        image_set: the images.
        digests: content digests.
        signatures: None for unreadable images.
        most_bits: maximum number of differing hash bits of similar images.
    """
    count, domains = len(image_set), len(image_set.domains)
    found = NearDuplicates(
        np.zeros(count, np.int64), np.zeros((count, domains), np.bool_), np.zeros(count, np.bool_)
    )
    members = [index for index, each in enumerate(signatures) if each is not None]
    if not members:
        return found
    comparison = _Comparison(image_set, digests, signatures, members, found)
    codes = np.array([each.phash for each in signatures if each is not None], dtype=np.uint64)
    for start in range(0, len(members), BLOCK):
        block = codes[start : start + BLOCK]
        bits = np.bitwise_count(block[:, None] ^ codes[None, start:])
        is_near = np.triu(bits <= most_bits, 1)
        for row in np.flatnonzero(is_near.any(axis=1)).tolist():
            others = np.flatnonzero(is_near[row])[:MOST_LIKE_ONE]
            comparison.add(start + row, start + others, bits[row, others])
    return found


class _Comparison:
    """Compares pairs with similar hashes in detail; ``members`` are the readable images."""

    def __init__(
        self,
        image_set: ImageSet,
        digests: Sequence[str],
        signatures: Sequence[Signature | None],
        members: Sequence[int],
        found: NearDuplicates,
    ) -> None:
        self._set, self._found = image_set, found
        self._members = np.array(members)
        files = [image_set.files[index] for index in members]
        known = [each for each in signatures if each is not None]
        domain_of = {domain: number for number, domain in enumerate(image_set.domains)}
        numbers: dict[str, int] = {}
        self._contents = np.array(
            [numbers.setdefault(digests[index], index) for index in members], dtype=np.int64
        )
        self._domains = np.array([domain_of[file.domain] for file in files])
        self._labels = np.array([file.class_name for file in files])
        self._thumbnails = np.stack([each.thumbnail.reshape(-1) for each in known])
        self._sides = np.array([each.sides for each in known])

    def add(self, one: int, others: npt.NDArray[np.int64], bits: npt.NDArray[np.uint8]) -> None:
        """Add the pairs of one image with later images of similar hash."""
        is_other = self._contents[others] != self._contents[one]
        others, bits = others[is_other], bits[is_other]
        is_inside = self._domains[others] == self._domains[one]
        differences = np.abs(self._thumbnails[others].astype(np.int16) - self._thumbnails[one])
        is_copy = differences.mean(axis=1) <= NEAR_COPY_LEVELS
        self._add_across(one, others, bits, ~is_inside, is_copy)
        self._add_within(one, others[is_inside & is_copy], bits[is_inside & is_copy])

    def _add_across(
        self,
        one: int,
        others: npt.NDArray[np.int64],
        bits: npt.NDArray[np.uint8],
        is_across: npt.NDArray[np.bool_],
        is_copy: npt.NDArray[np.bool_],
    ) -> None:
        found, copies = self._found, others[is_across & is_copy]
        found.across_count += int(is_across.sum())
        room = MOST_PAIRS - len(found.across)
        found.across += self._pairs(one, others[is_across][:room], bits[is_across][:room])
        found.elsewhere[self._members[one], self._domains[copies]] = True
        found.elsewhere[self._members[copies], self._domains[one]] = True

    def _add_within(
        self, one: int, others: npt.NDArray[np.int64], bits: npt.NDArray[np.uint8]
    ) -> None:
        found = self._found
        found.within_count += len(others)
        room = MOST_PAIRS - len(found.within)
        found.within += self._pairs(one, others[:room], bits[:room])
        found.copies[self._members[one]] += len(others)
        found.copies[self._members[others]] += 1
        found.other_label += int((self._labels[others] != self._labels[one]).sum())
        is_smaller = (self._sides[others] <= SMALLER * self._sides[one]).all(axis=1)
        found.smaller[self._members[others[is_smaller]]] = True
        if (self._sides[one] <= SMALLER * self._sides[others]).all(axis=1).any():
            found.smaller[self._members[one]] = True

    def _pairs(
        self, one: int, others: npt.NDArray[np.int64], bits: npt.NDArray[np.uint8]
    ) -> list[Duplicate]:
        return [
            _pair(self._set, int(self._members[one]), int(self._members[other]), int(differing))
            for other, differing in zip(others, bits, strict=True)
        ]


def _pair(image_set: ImageSet, one: int, other: int, bits: int) -> Duplicate:
    """Return a pair by its images' indices."""
    a, b = image_set.files[one], image_set.files[other]
    places = (f"{a.domain}/{a.class_name}", f"{b.domain}/{b.class_name}")
    return Duplicate(a.path, b.path, bits, *places)
