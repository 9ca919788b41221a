"""Search of a run's own images among others: a result on them is not a test.

Found are files with the same content, and images with the same pixels at the size that the network
reads if the run's images are in the cache.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from engine.data.load import digest_of_images, split_domains
from engine.datasets.cache import CachedImages, find_cached
from engine.datasets.catalog import find_image_set
from engine.datasets.folders import ImageSet
from engine.datasets.same_pixels import PixelDigest, find_same_pixels
from engine.errors import DataError
from engine.protocol import DataPrepared, EventDecodeError, RunSpec, decode_event, spec_of
from engine.protocol.data_evaluations import Role
from engine.rundir import RunDir

ORDER: Final[tuple[Role, ...]] = ("training", "validation", "held-out source", "target")
"""Of several roles of an image, the first one counts."""


def find_own_images(
    run_dir: RunDir, image_set: ImageSet, pixels: Mapping[int, PixelDigest], image_size: int
) -> dict[int, Role]:
    """Return what the run did with each image that its own data has too.

    Args:
        run_dir: the run.
        image_set: the images to search.
        pixels: digests by row of the images to search.
        image_size: side in pixels at which the digests were made.

    Raises:
        InputError: if the run's images are missing or have changed; says so.
    """
    spec = spec_of(run_dir.read_task())
    own = find_image_set(spec)
    cached = find_cached(own, spec.image_size, run_dir.cache)
    unreadable = _unreadable(run_dir, own, cached)
    roles = _roles(own, unreadable, spec)
    found = _same_files(image_set, pixels, own, roles)
    if cached is not None and spec.image_size == image_size:
        rows = np.array(sorted(roles), dtype=np.int64)
        found += [(row, roles[own_row]) for row, own_row in find_same_pixels(pixels, cached, rows)]
    found.sort(key=lambda each: ORDER.index(each[1]), reverse=True)
    return dict(found)  # the first role of each row, which comes last here


def _unreadable(run_dir: RunDir, own: ImageSet, cached: CachedImages | None) -> Collection[int]:
    """Return the rows that the run skipped.

    Raises:
        InputError: if the images are others than the run's.
    """
    prepared = _prepared(run_dir)
    skipped = set(prepared.skipped if prepared is not None else ())
    rows = [row for row, file in enumerate(own.files) if file.path in skipped]
    if cached is not None:
        rows = sorted(cached.unreadable)
    paths = [own.files[row].path for row in rows]
    if prepared is not None and prepared.digest not in ("", digest_of_images(own, paths)):
        raise DataError(f"the run's own images in {own.location} have changed since")
    return rows


def _prepared(run_dir: RunDir) -> DataPrepared | None:
    """Return the run's last description of its images."""
    found = None
    for line in run_dir.events.read_bytes().splitlines() if run_dir.events.is_file() else ():
        if b'"data_prepared"' in line:
            try:
                event = decode_event(line)
            except EventDecodeError:
                continue
            found = event if isinstance(event, DataPrepared) else found
    return found


def _roles(own: ImageSet, unreadable: Collection[int], spec: RunSpec) -> dict[int, Role]:
    """Return what the run did with each of its images, by row."""
    roles: dict[int, Role] = {}
    for name, rows, (in_indices, out_indices) in split_domains(own, unreadable, spec):
        of_domain: Role | None = None
        if name == spec.target:
            of_domain = "target"
        elif name == spec.held_out_source:
            of_domain = "held-out source"
        roles |= dict.fromkeys(rows[in_indices].tolist(), of_domain or "training")
        roles |= dict.fromkeys(rows[out_indices].tolist(), of_domain or "validation")
    return roles


def _same_files(
    image_set: ImageSet, searched: Collection[int], own: ImageSet, roles: Mapping[int, Role]
) -> list[tuple[int, Role]]:
    """Return the rows of files with the same content as the run's, with their roles."""
    sizes = {image_set.files[row].size for row in searched}
    roles_of: dict[bytes, list[Role]] = defaultdict(list)
    known_sizes: set[int] = set()
    for row, role in roles.items():
        size = own.files[row].size
        if size in sizes and (digest := _content_digest(own, row)) is not None:
            roles_of[digest].append(role)
            known_sizes.add(size)
    return [
        (row, role)
        for row in searched
        if image_set.files[row].size in known_sizes
        and (digest := _content_digest(image_set, row)) is not None
        for role in roles_of.get(digest, ())
    ]


def _content_digest(image_set: ImageSet, row: int) -> bytes | None:
    try:
        return hashlib.blake2b(image_set.read(row), digest_size=16).digest()
    except OSError:
        return None
