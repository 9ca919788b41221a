"""Width and height of a cache's original images.

The file ``sizes.bin`` of a cache: two int32 per image, little-endian, followed by their CRC-32.
"""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.datasets.folders import ImageSet
from engine.datasets.progress import Progress
from engine.machine.disk import write_atomic
from engine.machine.processor import usable_cores

Sizes = npt.NDArray[np.int32]
"""Width and height in pixels, (N, 2); 0 if the image cannot be read."""

FILE_NAME: Final = "sizes.bin"
STORED: Final = "<i4"
IMAGE_BYTES: Final = 8
CRC_BYTES: Final = 4
TASK_IMAGES: Final = 256
"""Images that a thread reads per task."""


def read_sizes(cache: Path, images: int) -> Sizes | None:
    """Return the sizes of a cache's images; None if they are missing or damaged."""
    try:
        content = (cache / FILE_NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    stored, crc = content[:-CRC_BYTES], content[-CRC_BYTES:]
    if len(stored) != images * IMAGE_BYTES or _crc(stored) != crc:
        return None
    return np.frombuffer(stored, dtype=STORED).reshape(-1, 2).astype(np.int32)


def write_sizes(cache: Path, sizes: Sizes) -> None:
    """Store sizes in a cache's folder."""
    stored = sizes.astype(STORED).tobytes()
    write_atomic(cache / FILE_NAME, stored + _crc(stored))


def _crc(stored: bytes) -> bytes:
    return zlib.crc32(stored).to_bytes(CRC_BYTES, "little")


def sizes_from_headers(
    image_set: ImageSet, unreadable: dict[int, str], on_progress: Progress
) -> Sizes | None:
    """Return the sizes of images from their headers, without decoding.

    Args:
        image_set: the images.
        unreadable: reasons by index of images to skip.
        on_progress: called with the number of images read and the total; may raise to abort.

    Returns:
        None if one can no longer be read.
    """
    sizes = np.zeros((len(image_set), 2), dtype=np.int32)

    def look(indices: range) -> bool:
        """Return whether all images that were readable still are."""
        try:
            for index in indices:
                if index not in unreadable:
                    sizes[index] = image_set.open_header(index).size
        except OSError:
            return False
        return True

    every_index = range(len(image_set))
    spans = [every_index[start:][:TASK_IMAGES] for start in every_index[::TASK_IMAGES]]
    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            for span, are_readable in zip(spans, pool.map(look, spans), strict=True):
                if not are_readable:
                    return None
                on_progress(span.stop, len(image_set))
        finally:
            pool.shutdown(cancel_futures=True)  # do not run the remaining tasks
    return sizes
