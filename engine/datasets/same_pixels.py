"""Search of a cache for images with the same pixels as given ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.datasets.cache import CachedImages, Pixels, digest_of_pixels

AT_ONCE: Final = 1024
"""Images of the cache that are looked at before its memory is released."""


class PixelDigest(NamedTuple):
    """Digests of an image at the size that the network reads: of its middle line, and of all."""

    line: bytes
    whole: bytes


def pixel_digest(pixels: Pixels) -> PixelDigest:
    """Return the digests of an image (S, S, 3)."""
    middle = pixels[len(pixels) // 2]
    return PixelDigest(digest_of_pixels(middle.tobytes()), digest_of_pixels(pixels.tobytes()))


def find_same_pixels(
    searched: Mapping[int, PixelDigest], cached: CachedImages, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Yield each pair of a key of ``searched`` and one of ``rows`` of the cache with its pixels.

    Only images whose middle line is the same are read as a whole.
    """
    lines = {each.line for each in searched.values()}
    keys_of: dict[bytes, list[int]] = defaultdict(list)
    for key, each in searched.items():
        keys_of[each.whole].append(key)
    for block in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE)):
        for row, line in zip(block.tolist(), cached.middle_lines(block), strict=True):
            if digest_of_pixels(line.tobytes()) in lines:
                [pixels] = cached.take(np.array([row]))
                for key in keys_of.get(digest_of_pixels(pixels.tobytes()), ()):
                    yield key, row
