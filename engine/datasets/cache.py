"""The image cache: every image decoded and resized once, then memory-mapped.

The cache of a data set at one size is a folder with ``pixels.bin`` (uint8, N × S × S × 3, in the
order of the data set's files), ``sizes.bin`` (width and height of the originals: two little-endian
int32 per image, then their CRC-32) and ``manifest.json``, an entry of :mod:`engine.cache`. Caches
of older versions lack the sizes, which are then read from the images' headers.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.cache import MANIFEST, SPARE_BYTES, MappedRows, checksum, find_or_make
from engine.datasets.duplicates import same_content
from engine.datasets.folders import ImageSet
from engine.errors import DataError
from engine.machine.disk import is_full, write_atomic
from engine.machine.processor import usable_cores
from engine.text import format_size
from engine.work import Progress

FORMAT_VERSION: Final = 2
CHANNELS: Final = 3
PIXELS: Final = "pixels.bin"
TASK_IMAGES: Final = 32
"""Images that a thread decodes per task."""

Pixels = npt.NDArray[np.uint8]
Sizes = npt.NDArray[np.int32]
"""Width and height in pixels, (N, 2); 0 if the image cannot be read."""
SIZES_FILE: Final = "sizes.bin"
STORED_SIZES: Final = "<i4"
SIZE_BYTES: Final = 8
CRC_BYTES: Final = 4
HEADERS_PER_TASK: Final = 256
"""Images that a thread reads per task."""


class Manifest(msgspec.Struct, frozen=True):
    """Description of a cache.

    ``unreadable`` maps image indices to reasons; their pixels are 0. ``copies`` are groups of
    images with the same pixels. ``about`` is for listings. Caches of older versions lack both.
    """

    format_version: int
    images: int
    image_size: int
    checksum: int
    unreadable: dict[int, str]
    copies: list[list[int]] = []
    about: dict[str, str | int] = {}


class CachedImages:
    """Decoded images, memory-mapped from disk.

    Only few stay resident, because ``take`` releases memory regularly.

    Attributes:
        pixels: (N, S, S, 3) uint8.
        sizes: width and height of the originals, in pixels, (N, 2) int32; 0 if unreadable.
        unreadable: reasons by image index; the pixels of unreadable images are 0.
        copies: groups of indices of images with the same pixels; empty if unknown.
    """

    def __init__(self, mapped: MappedRows, sizes: Sizes, manifest: Manifest) -> None:
        self.pixels: Pixels = mapped.array
        self.sizes = sizes
        self.unreadable = manifest.unreadable
        self.copies = manifest.copies
        self._mapped = mapped

    def take(self, rows: npt.NDArray[np.intp]) -> Pixels:
        """Return images by their rows, (B, S, S, 3) uint8, as a copy."""
        return self._mapped.take(rows)

    def middle_lines(self, rows: npt.NDArray[np.intp]) -> Pixels:
        """Return the middle line of images by their rows, (B, S, 3) uint8, as a copy."""
        lines: Pixels = self.pixels[rows, self.pixels.shape[1] // 2]
        self._mapped.release()  # a page of every image
        return lines


def resize(image: Image.Image, image_size: int) -> Image.Image:
    """Return an image resized to S × S without cropping, like torchvision's ``Resize((S, S))``."""
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR)


def cached_images(
    image_set: ImageSet,
    image_size: int,
    cache_dir: Path,
    on_progress: Progress = lambda _done, _total: None,
) -> CachedImages:
    """Return all images at ``image_size`` pixels, from the cache or decoded into it.

    Args:
        image_set: the images.
        image_size: side S of the resized images, in pixels.
        cache_dir: folder of caches, created if missing.
        on_progress: called with the number of decoded images and the total; may raise to abort.

    Raises:
        DataError: if the cache cannot be written.
    """
    root = cache_dir / "images"

    def read(folder: Path) -> CachedImages | None:
        return _open(folder, image_set, image_size, on_progress)

    def make(folder: Path) -> None:
        _build(folder, image_set, image_size, on_progress)

    folder = root / cache_key(image_set, image_size)
    needed = len(image_set) * image_size * image_size * CHANNELS
    try:
        waiting = partial(on_progress, 0, len(image_set))
        return find_or_make(folder, read, make, needed, waiting).content
    except OSError as error:
        raise _cannot_write(root, error, needed + SPARE_BYTES) from None


def find_cached(image_set: ImageSet, image_size: int, cache_dir: Path) -> CachedImages | None:
    """Return all images at ``image_size`` pixels if they are in the cache; nothing is decoded."""
    folder = cache_dir / "images" / cache_key(image_set, image_size)
    manifest = _valid_manifest(folder, image_set, image_size)
    sizes = None if manifest is None else read_sizes(folder, len(image_set))
    if manifest is None or sizes is None:
        return None
    return _mapped(folder, image_size, sizes, manifest)


def cache_key(image_set: ImageSet, image_size: int) -> str:
    """Return the name of a cache, which depends on the files' names, sizes and stamps."""
    content = (
        FORMAT_VERSION,
        image_size,
        "bilinear",
        [(file.path, file.size, file.stamp) for file in image_set.files],
    )
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


def _open(
    folder: Path, image_set: ImageSet, image_size: int, on_progress: Progress
) -> CachedImages | None:
    """Map a cache; None if it is missing, damaged or out of date."""
    manifest = _valid_manifest(folder, image_set, image_size)
    if manifest is None:
        return None
    sizes = _sizes(folder, image_set, manifest, on_progress)
    if sizes is None:
        return None
    return _mapped(folder, image_size, sizes, manifest)


def _mapped(folder: Path, image_size: int, sizes: Sizes, manifest: Manifest) -> CachedImages:
    mapped = MappedRows(folder / PIXELS, np.uint8, (image_size, image_size, CHANNELS))
    return CachedImages(mapped, sizes, manifest)


def digest_of_pixels(pixels: bytes) -> bytes:
    """Return a digest of an image's pixels, the same for the same pixels only."""
    return hashlib.blake2b(pixels, digest_size=16).digest()


def _valid_manifest(folder: Path, image_set: ImageSet, image_size: int) -> Manifest | None:
    """Return a cache's manifest; None if it does not match the pixels or a bad image was fixed."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    pixels_file = folder / PIXELS
    expected = (FORMAT_VERSION, len(image_set), image_size)
    if (manifest.format_version, manifest.images, manifest.image_size) != expected:
        return None
    image_bytes = image_size * image_size * CHANNELS
    if not pixels_file.is_file() or pixels_file.stat().st_size != len(image_set) * image_bytes:
        return None
    if checksum(pixels_file, len(image_set), image_bytes) != manifest.checksum:
        return None
    if any(_why_unreadable(image_set, index) is None for index in manifest.unreadable):
        return None
    return manifest


def _sizes(
    folder: Path, image_set: ImageSet, manifest: Manifest, on_progress: Progress
) -> Sizes | None:
    """Return the originals' sizes, stored or from their headers; None if one is unreadable."""
    stored = read_sizes(folder, len(image_set))
    if stored is not None:
        return stored
    sizes = sizes_from_headers(image_set, manifest.unreadable, on_progress)
    if sizes is not None:
        write_sizes(folder, sizes)
    return sizes


def _build(folder: Path, image_set: ImageSet, image_size: int, on_progress: Progress) -> None:
    """Decode all images into a new folder."""
    pixels_file = folder / PIXELS
    unreadable, copies, sizes = _decode_all(pixels_file, image_set, image_size, on_progress)
    write_sizes(folder, sizes)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        images=len(image_set),
        image_size=image_size,
        checksum=checksum(pixels_file, len(image_set), image_size * image_size * CHANNELS),
        unreadable=unreadable,
        copies=copies,
        about={"dataset": image_set.name, "images": len(image_set), "image_size": image_size},
    )
    write_atomic(folder / MANIFEST, msgspec.json.encode(manifest))


def _decode_all(
    pixels_file: Path, image_set: ImageSet, image_size: int, on_progress: Progress
) -> tuple[dict[int, str], list[list[int]], Sizes]:
    """Write all pixels in several threads (PIL releases the GIL).

    Returns reasons by index of unreadable images, groups of images with the same pixels, and sizes.
    """
    image_bytes = image_size * image_size * CHANNELS
    sizes: Sizes = np.zeros((len(image_set), 2), dtype=np.int32)
    digests: list[bytes] = [b""] * len(image_set)
    with pixels_file.open("xb", buffering=0) as file:
        file.truncate(len(image_set) * image_bytes)

        def decode(indices: range) -> dict[int, str]:
            unreadable = {}
            for index in indices:
                try:
                    image = image_set.open_image(index)
                    pixels = resize(image, image_size).tobytes()
                except OSError as error:
                    unreadable[index] = reason_of(error)
                    continue
                sizes[index] = image.size
                digests[index] = digest_of_pixels(pixels)
                _write_at(file.fileno(), pixels, index * image_bytes)
            return unreadable

        unreadable: dict[int, str] = {}
        every_index = range(len(image_set))
        spans = [every_index[start:][:TASK_IMAGES] for start in every_index[::TASK_IMAGES]]
        with ThreadPoolExecutor(usable_cores()) as pool:
            try:
                for span, found in zip(spans, pool.map(decode, spans), strict=True):
                    unreadable.update(found)
                    on_progress(span.stop, len(image_set))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # do not run the remaining tasks
                raise
        os.fsync(file.fileno())
    return unreadable, same_content(digests), sizes


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    if os.pwrite(descriptor, content, offset) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _why_unreadable(image_set: ImageSet, index: int) -> str | None:
    try:
        image_set.open_image(index)
    except OSError as error:
        return reason_of(error)
    return None


def reason_of(error: OSError) -> str:
    """Return why an image cannot be read, on one line."""
    text = error.strerror or str(error) or type(error).__name__
    return text.splitlines()[0]


def _cannot_write(root: Path, error: OSError, needed: int) -> DataError:
    if is_full(error):
        free = shutil.disk_usage(root).free
        return DataError(
            f"Not enough space for the image cache in {root}: {format_size(needed)} needed, "
            f"{format_size(free)} free. Free space, or use a smaller --image-size or another "
            "--home (VLD_HOME)."
        )
    return DataError(
        f"The image cache {root} cannot be written: {error}. Use another --home (VLD_HOME)."
    )


def read_sizes(cache: Path, images: int) -> Sizes | None:
    """Return the sizes of a cache's images; None if they are missing or damaged."""
    try:
        content = (cache / SIZES_FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    stored, crc = content[:-CRC_BYTES], content[-CRC_BYTES:]
    if len(stored) != images * SIZE_BYTES or _crc(stored) != crc:
        return None
    return np.frombuffer(stored, dtype=STORED_SIZES).reshape(-1, 2).astype(np.int32)


def write_sizes(cache: Path, sizes: Sizes) -> None:
    """Store sizes in a cache's folder."""
    stored = sizes.astype(STORED_SIZES).tobytes()
    write_atomic(cache / SIZES_FILE, stored + _crc(stored))


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
    spans = [every_index[start:][:HEADERS_PER_TASK] for start in every_index[::HEADERS_PER_TASK]]
    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            for span, are_readable in zip(spans, pool.map(look, spans), strict=True):
                if not are_readable:
                    return None
                on_progress(span.stop, len(image_set))
        finally:
            pool.shutdown(cancel_futures=True)  # do not run the remaining tasks
    return sizes
