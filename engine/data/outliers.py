"""The outliers of a run: unlabelled images that the network is trained to abstain on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from engine.data.load import DomainData, Indices, RunData, digest_of_images, load_data
from engine.datasets.cache import CachedImages, cached_images
from engine.datasets.outliers import ABSTAIN, OUTLIERS, open_outliers
from engine.datasets.same_pixels import find_same_pixels, pixel_digest
from engine.errors import DataError
from engine.protocol import RunSpec
from engine.protocol.recipes import too_few_outliers
from engine.text import counted, listed
from engine.work import Progress


def load_with_outliers(
    spec: RunSpec, cache_dir: Path, on_progress: Progress = lambda _done, _total: None
) -> RunData:
    """Load the images of a run, as :func:`load_data` does, and its outliers.

    Raises:
        DataError: if either cannot be used for the run.
    """
    data = load_data(spec, cache_dir, on_progress)
    if spec.outliers is None:
        return data
    outliers = load_outliers(
        spec.outliers, data, cache_dir, fewest=spec.outliers_per_step,
        skip_bad_images=spec.skip_bad_images, on_progress=on_progress,
    )  # fmt: skip
    return replace(data, outliers=outliers)


def load_outliers(
    folder: str,
    data: RunData,
    cache_dir: Path,
    *,
    fewest: int = 1,
    skip_bad_images: bool = False,
    on_progress: Progress = lambda _done, _total: None,
) -> RunData:
    """Find and decode (or read from the cache) outliers, as data of one domain.

    All of them are training images. None has the pixels of an image of the run's own data at the
    size that the network reads.

    Args:
        folder: searched with its subfolders, or the name of an embedded data set, whose images of
            classes of the run are left out.
        data: the run's own images.
        cache_dir: folder of caches, shared by runs.
        fewest: minimum number of readable images.
        skip_bad_images: skip unreadable images.
        on_progress: called with the number of decoded images and the total; may raise to abort.

    Raises:
        DataError: if there are too few images, or some that must not be outliers.
    """
    image_set = open_outliers(folder, data.classes)
    image_size = data.domains[0].cached.pixels.shape[1]
    cached = cached_images(image_set, image_size, cache_dir, on_progress)
    skipped = [image_set.files[row].path for row in sorted(cached.unreadable)]
    if skipped and not skip_bad_images:
        raise DataError(
            f"{counted(len(skipped), 'image')} in --outliers {folder} cannot be read: "
            f"{listed(skipped)}. Fix or delete them, or skip them with --skip-bad-images."
        )
    readable = [row for row in range(len(image_set)) if row not in cached.unreadable]
    if problem := too_few_outliers(folder, len(readable), fewest):
        raise DataError(problem)
    rows = np.array(readable, dtype=np.int64)
    outliers = RunData(
        OUTLIERS,
        (ABSTAIN,),
        (_as_domain(cached, rows),),
        tuple(skipped),
        image_set,
        digest_of_images(image_set, skipped),
    )
    _refuse_own_images(outliers, data)
    return outliers


def _as_domain(cached: CachedImages, rows: Indices) -> DomainData:
    return DomainData(
        name=OUTLIERS,
        is_target=False,
        cached=cached,
        rows=rows,
        labels=torch.zeros(len(rows), dtype=torch.int64),
        in_indices=np.arange(len(rows)),
        out_indices=np.empty(0, dtype=np.int64),
    )


def _refuse_own_images(outliers: RunData, data: RunData) -> None:
    """Check that no outlier has the pixels of an image of the run's data.

    Raises:
        DataError: if some do; names the domain and an image, of the target first.
    """
    [domain] = outliers.domains
    searched = {
        row: pixel_digest(domain.cached.take(np.array([row]))[0]) for row in domain.rows.tolist()
    }
    for each in sorted(data.domains, key=lambda each: each.is_source):
        pairs = list(find_same_pixels(searched, each.cached, each.rows))
        if pairs:
            raise DataError(_refusal(outliers, data, each, pairs))


def _refusal(
    outliers: RunData, data: RunData, domain: DomainData, pairs: Sequence[tuple[int, int]]
) -> str:
    """Return the error message for outliers that are images of a domain."""
    rows = sorted({row for row, _ in pairs})
    own = dict(reversed(pairs))[rows[0]]
    whose, why = "held-out source", "which is never trained on"
    if domain.is_source:
        whose, why = "source", "so they would be trained both as a class and to abstain"
    elif domain.is_target:
        whose, why = "target", "which is never trained on"
    return (
        f"{counted(len(rows), 'image')} in --outliers {outliers.image_set.location} also in the "
        f"{whose} {domain.name}, {why}: {outliers.image_set.files[rows[0]].path} is "
        f"{data.image_set.files[own].path}. Delete such files, or give another folder."
    )
