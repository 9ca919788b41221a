"""Decoded images on disk: every image decoded and resized once, then mapped into memory.

The cache of a data set at one size is a folder of ``pixels.bin`` (uint8, N × S × S × 3, in the
order of the data set's files), ``sizes.bin`` (width and height of the originals) and
``manifest.json``. It is built under another name and renamed when complete, so a partial one is
never used; several processes may ask for it at once, and one builds while the others wait. Caches
of earlier versions lack the sizes, which are then read from the images' headers.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.datasets.duplicates import same_content
from engine.datasets.folders import ImageSet
from engine.datasets.original_sizes import Sizes, look_at_sizes, read_sizes, write_sizes
from engine.datasets.progress import Progress
from engine.errors import DataError
from engine.machine.disk import is_full
from engine.machine.processor import usable_cores
from engine.rundir import write_atomic
from engine.rundir.lock import held
from engine.text import size_in_words

FORMAT_VERSION: Final = 2
CHANNELS: Final = 3
CHECKED_BYTES: Final = 256 * 2**20
"""Bytes read to tell a damaged cache: all of a small one, evenly spread images of a big one."""
RESIDENT_BYTES: Final = 64 * 2**20
"""Images taken after which their memory is let go of."""
TASK_IMAGES: Final = 32
"""Images a thread decodes at a time."""
SPARE_BYTES: Final = 64 * 2**20
"""Free space left on the disk when a cache is written."""

Pixels = npt.NDArray[np.uint8]


class Manifest(msgspec.Struct, frozen=True):
    """What a cache holds.

    ``unreadable`` maps the index of an image to why; its rows are 0. ``copies`` are groups of
    images of the same pixels; caches of earlier versions lack them.
    """

    format_version: int
    images: int
    image_size: int
    checksum: int
    unreadable: dict[int, str]
    copies: list[list[int]] = []


class CachedImages:
    """Images as evaluation sees them, mapped from disk.

    However many there are, few stay resident: ``take`` now and then lets go of those it took.

    Attributes:
        pixels: (N, S, S, 3) uint8.
        sizes: width and height of the originals, in pixels, (N, 2) int32; 0 where unreadable.
        unreadable: index of an image that cannot be decoded: why; its pixels are 0.
        copies: groups of images of the same pixels, as indices; none where they are not known.
    """

    def __init__(self, mapped: mmap.mmap, sizes: Sizes, manifest: Manifest) -> None:
        shape = (-1, manifest.image_size, manifest.image_size, CHANNELS)
        self.pixels: Pixels = np.frombuffer(mapped, dtype=np.uint8).reshape(shape)
        self.sizes = sizes
        self.unreadable = manifest.unreadable
        self.copies = manifest.copies
        self._mapped = mapped
        self._taken_bytes = 0

    def take(self, rows: npt.NDArray[np.intp]) -> Pixels:
        """Return images by their rows, (B, S, S, 3) uint8, as a copy."""
        images: Pixels = self.pixels[rows]
        self._taken_bytes += images.nbytes
        if self._taken_bytes > RESIDENT_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)  # the file's pages come back when needed
            self._taken_bytes = 0
        return images


def resize(image: Image.Image, image_size: int) -> Image.Image:
    """Return an image squeezed to S × S, as torchvision's ``Resize((S, S))`` does (no crop)."""
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR)


def cached_images(
    image_set: ImageSet,
    image_size: int,
    cache_dir: Path,
    on_progress: Progress = lambda _done, _total: None,
) -> CachedImages:
    """Return every image at ``image_size`` pixels, from the cache or decoded into it.

    Args:
        image_set: the images.
        image_size: side S of the squares they are resized to, in pixels.
        cache_dir: folder of caches, made when missing.
        on_progress: told how many images are decoded, of how many; what it raises ends the work.

    Raises:
        DataError: when the cache cannot be written, for want of space or otherwise.
    """
    root = cache_dir / "images"
    folder = root / cache_key(image_set, image_size)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f"{folder.name}.lock"):
            found = _open(folder, image_set, image_size, on_progress)
            if found is None:
                _build(folder, image_set, image_size, on_progress)
                found = _open(folder, image_set, image_size, on_progress)
    except OSError as error:
        raise _cannot_write(root, error, _bytes_needed(image_set, image_size)) from None
    if found is None:
        raise DataError(f"{folder} cannot be read back after writing it: check the disk.")
    return found


def cache_key(image_set: ImageSet, image_size: int) -> str:
    """Return the name of a cache: it changes with the files' names, sizes and stamps."""
    content = (
        FORMAT_VERSION,
        image_size,
        "bilinear",
        [(file.path, file.size, file.stamp) for file in image_set.files],
    )
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


def _bytes_needed(image_set: ImageSet, image_size: int) -> int:
    return len(image_set) * image_size * image_size * CHANNELS + SPARE_BYTES


def _open(
    folder: Path, image_set: ImageSet, image_size: int, on_progress: Progress
) -> CachedImages | None:
    """Map a cache; None when there is none, it is damaged, or a bad image was mended."""
    manifest = _sound_manifest(folder, image_set, image_size)
    if manifest is None:
        return None
    sizes = _sizes(folder, image_set, manifest, on_progress)
    if sizes is None:
        return None
    with (folder / "pixels.bin").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return CachedImages(mapped, sizes, manifest)


def _sound_manifest(folder: Path, image_set: ImageSet, image_size: int) -> Manifest | None:
    """Return a cache's manifest; None unless its pixels are what it says, and still should be."""
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    pixels_file = folder / "pixels.bin"
    expected = (FORMAT_VERSION, len(image_set), image_size)
    if (manifest.format_version, manifest.images, manifest.image_size) != expected:
        return None
    image_bytes = image_size * image_size * CHANNELS
    if not pixels_file.is_file() or pixels_file.stat().st_size != len(image_set) * image_bytes:
        return None
    if _checksum(pixels_file, len(image_set), image_bytes) != manifest.checksum:
        return None
    if any(_why_unreadable(image_set, index) is None for index in manifest.unreadable):
        return None
    return manifest


def _sizes(
    folder: Path, image_set: ImageSet, manifest: Manifest, on_progress: Progress
) -> Sizes | None:
    """Return the originals' sizes, stored or read from their headers; None: one is unreadable."""
    stored = read_sizes(folder, len(image_set))
    if stored is not None:
        return stored
    sizes = look_at_sizes(image_set, manifest.unreadable, on_progress)
    if sizes is not None:
        write_sizes(folder, sizes)
    return sizes


def _build(folder: Path, image_set: ImageSet, image_size: int, on_progress: Progress) -> None:
    """Decode every image into a new folder, and put it in the place of the old one."""
    needed = _bytes_needed(image_set, image_size)
    if shutil.disk_usage(folder.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that died
    try:
        temporary.mkdir()
        unreadable, copies, sizes = _decode_all(
            temporary / "pixels.bin", image_set, image_size, on_progress
        )
        write_sizes(temporary, sizes)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            images=len(image_set),
            image_size=image_size,
            checksum=_checksum(
                temporary / "pixels.bin", len(image_set), image_size * image_size * CHANNELS
            ),
            unreadable=unreadable,
            copies=copies,
        )
        write_atomic(temporary / "manifest.json", msgspec.json.encode(manifest))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decode_all(
    pixels_file: Path, image_set: ImageSet, image_size: int, on_progress: Progress
) -> tuple[dict[int, str], list[list[int]], Sizes]:
    """Write all pixels on several threads (PIL decodes without the GIL).

    Returns what failed, groups of images of the same pixels, and the images' sizes.
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
                    unreadable[index] = _reason(error)
                    continue
                sizes[index] = image.size
                digests[index] = hashlib.blake2b(pixels, digest_size=16).digest()
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
                pool.shutdown(cancel_futures=True)  # not all the rest of them first
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
        return _reason(error)
    return None


def _reason(error: OSError) -> str:
    text = error.strerror or str(error) or type(error).__name__
    return text.splitlines()[0]


def _checksum(pixels_file: Path, images: int, image_bytes: int) -> int:
    """Return the CRC-32 of evenly spread images, of all of them when they are few."""
    checked = max(1, min(images, CHECKED_BYTES // image_bytes))
    checksum = 0
    with pixels_file.open("rb") as file:
        for number in range(checked):
            file.seek(number * images // checked * image_bytes)
            checksum = zlib.crc32(file.read(image_bytes), checksum)
    return checksum


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the operating system lets go of when the process dies."""
    with held(path):
        yield


def _cannot_write(root: Path, error: OSError, needed: int) -> DataError:
    if is_full(error):
        free = shutil.disk_usage(root).free
        return DataError(
            f"There is no space for the decoded images in {root}: they need "
            f"{size_in_words(needed)} and {size_in_words(free)} are free. Free some, choose a "
            "smaller --image-size, or another place with --home or VLD_HOME."
        )
    return DataError(
        f"The image cache {root} cannot be written: {error}. Choose another place with --home "
        "or VLD_HOME."
    )
