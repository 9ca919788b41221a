"""Images that a data set holds twice: the same file, or the same picture in another domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from PIL import Image

from engine.datasets.errors import DataError
from engine.datasets.folders import ImageSet
from engine.protocol.datasets import Duplicate

BLOCK: Final = 512
"""Images compared with all others at a time."""


def perceptual_hash() -> Callable[[Image.Image], int]:
    """Return what hashes an image to 64 bits, few of which differ where two images look alike.

    Raises:
        DataError: when ImageHash is not installed.
    """
    try:
        import imagehash  # noqa: PLC0415 - only a check needs it, and it brings scipy
    except ImportError:
        raise DataError(
            "Near duplicates are found with ImageHash, which is not installed: "
            "pip install 'vld-tui[check-data]', or give --near 0 for exact duplicates only."
        ) from None

    def phash(image: Image.Image) -> int:
        return int(str(imagehash.phash(image)), 16)

    return phash


def exact_duplicates(image_set: ImageSet, digests: Sequence[str]) -> Iterator[Duplicate]:
    """Yield pairs of files of the same content, each file with the first of its kind.

    ``digests`` are the files', in their order; empty for one that could not be opened.
    """
    first: dict[str, int] = {}
    for index, digest in enumerate(digests):
        if not digest:
            continue
        before = first.setdefault(digest, index)
        if before != index:
            yield Duplicate(image_set.files[before].path, image_set.files[index].path, 0)


def near_duplicates(
    image_set: ImageSet, digests: Sequence[str], hashes: Sequence[int | None], most_bits: int
) -> Iterator[Duplicate]:
    """Yield pairs of images of different domains and contents whose hashes differ in few bits.

    ``hashes`` are the images', in the order of the files; None for one that cannot be read.
    """
    members = [index for index, each in enumerate(hashes) if each is not None]
    codes = np.array([hashes[index] for index in members], dtype=np.uint64)
    domain_of = {domain: number for number, domain in enumerate(image_set.domains)}
    domains = np.array([domain_of[image_set.files[index].domain] for index in members])
    for start in range(0, len(members), BLOCK):
        block = slice(start, start + BLOCK)
        bits = np.bitwise_count(codes[block, None] ^ codes[None, :])
        is_pair = (bits <= most_bits) & (domains[block, None] < domains[None, :])
        for one, other in np.argwhere(is_pair).tolist():
            a, b = members[start + one], members[other]
            if digests[a] != digests[b]:
                paths = image_set.files[a].path, image_set.files[b].path
                yield Duplicate(*paths, int(bits[one, other]))
