"""The images of one run: decoded, labelled and split.

The split of a domain into training and validation images is identical to DomainBed's.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.data.frozen import FrozenFeatures
from engine.datasets.cache import CachedImages, cached_images
from engine.datasets.catalog import (
    find_held_out_source,
    find_image_set,
    find_target,
    refuse_contradiction,
    refuse_small_domains,
)
from engine.datasets.folders import ImageSet
from engine.errors import DataError
from engine.protocol import RunSpec, too_few_to_split, trial_seed
from engine.text import counted, listed
from engine.work import Progress

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DomainData:
    """One domain's n images and their split.

    Attributes:
        name: of the domain.
        is_target: left out of training and used for OOD accuracy.
        cached: the N decoded images of all domains.
        rows: rows of this domain in ``cached`` and in the image set, (n,).
        labels: classes, (n,) int64.
        in_indices: training images, in 0 … n−1.
        out_indices: validation images, in 0 … n−1.
        is_held_out: a source that is left out of training as well.
        frozen: features that the run reads in place of the images, of all domains.
    """

    name: str
    is_target: bool
    cached: CachedImages
    rows: Indices
    labels: Tensor
    in_indices: Indices
    out_indices: Indices
    is_held_out: bool = False
    frozen: FrozenFeatures | None = None

    @property
    def is_source(self) -> bool:
        """Return whether the domain is trained on."""
        return not (self.is_target or self.is_held_out)

    def images(self, indices: Indices) -> Tensor:
        """Return images by their indices in this domain, (B, S, S, 3) uint8, as a copy."""
        return torch.from_numpy(self.cached.take(self.rows[indices]))

    def sizes(self, indices: Indices) -> Tensor:
        """Return width and height of the originals, in pixels, (B, 2)."""
        return torch.from_numpy(self.cached.sizes[self.rows[indices]])


@dataclass(frozen=True)
class RunData:
    """The data of a run.

    Attributes:
        name: of the data set.
        classes: sorted names, indexed by labels.
        domains: all domains, sorted by name.
        skipped: paths of skipped unreadable images.
        image_set: the files.
        digest: changes with the names and sizes of the images, which determine the split.
        shared_images: number of target images with the same pixels as a source image.
        outliers: unlabelled images to abstain on, as data of one source; None: there are none.
    """

    name: str
    classes: tuple[str, ...]
    domains: tuple[DomainData, ...]
    skipped: tuple[str, ...]
    image_set: ImageSet
    digest: str
    shared_images: int = 0
    outliers: RunData | None = None

    @property
    def sources(self) -> tuple[DomainData, ...]:
        """Return the domains that are trained on."""
        return tuple(domain for domain in self.domains if domain.is_source)

    @property
    def validation_images(self) -> dict[str, int]:
        """Return the number of validation images of each source."""
        return {domain.name: len(domain.out_indices) for domain in self.sources}

    @property
    def held_out(self) -> tuple[DomainData, ...]:
        """Return the sources that are left out of training as well: one or none."""
        return tuple(domain for domain in self.domains if domain.is_held_out)

    @property
    def target(self) -> DomainData | None:
        """Return the target domain, if there is one."""
        return next((domain for domain in self.domains if domain.is_target), None)

    def reading(self, frozen: FrozenFeatures, of_outliers: FrozenFeatures | None = None) -> RunData:
        """Return the data with features in place of images, and of its outliers if given."""
        outliers = self.outliers
        if outliers is not None and of_outliers is not None:
            outliers = outliers.reading(of_outliers)
        domains = tuple(replace(each, frozen=frozen) for each in self.domains)
        return replace(self, domains=domains, outliers=outliers)


def load_data(
    spec: RunSpec, cache_dir: Path, on_progress: Progress = lambda _done, _total: None
) -> RunData:
    """Find, decode (or read from the cache) and split the images of a run.

    Args:
        spec: data set, target, image size, split.
        cache_dir: folder of caches, shared by runs.
        on_progress: called with the number of decoded images and the total; may raise to abort.

    Raises:
        DataError: if the images cannot be used for a run.
    """
    image_set = find_image_set(spec)
    refuse_contradiction(image_set)
    target = find_target(image_set, spec.target)
    held_out = find_held_out_source(image_set, spec.held_out_source, target)
    cached = cached_images(image_set, spec.image_size, cache_dir, on_progress)
    skipped = [image_set.files[index].path for index in sorted(cached.unreadable)]
    if skipped and not spec.skip_bad_images:
        raise DataError(_refusal(image_set, cached))
    _check_every_class_left(image_set, cached)
    label_of = {name: label for label, name in enumerate(image_set.classes)}
    labels = np.array([label_of[file.class_name] for file in image_set.files], dtype=np.int64)
    domains = [
        DomainData(
            name, name == target, cached, rows, torch.from_numpy(labels[rows]), *split,
            is_held_out=name == held_out,
        )
        for name, rows, split in split_domains(image_set, cached.unreadable, spec)
    ]  # fmt: skip
    return RunData(
        image_set.name, image_set.classes, tuple(domains), tuple(skipped), image_set,
        digest_of_images(image_set, skipped), _shared_images(image_set, cached, domains),
    )  # fmt: skip


def split_domains(
    image_set: ImageSet, unreadable: Collection[int], spec: RunSpec
) -> Iterator[tuple[str, Indices, tuple[Indices, Indices]]]:
    """Yield each domain's name, the rows of its readable images, and their split.

    Args:
        image_set: the files.
        unreadable: rows of images that cannot be read.
        spec: how to split.

    Raises:
        DataError: if a domain cannot be split.
    """
    rows_of: dict[str, list[int]] = {domain: [] for domain in image_set.domains}
    for index, file in enumerate(image_set.files):
        if index not in unreadable:
            rows_of[file.domain].append(index)
    images = {name: len(rows) for name, rows in rows_of.items()}
    refuse_small_domains(image_set, images, spec.validation_fraction)
    for at, (name, listed_rows) in enumerate(rows_of.items()):
        rows = np.array(listed_rows, dtype=np.int64)
        yield name, rows, _split(image_set, rows, spec, at)


def _shared_images(image_set: ImageSet, cached: CachedImages, domains: Sequence[DomainData]) -> int:
    """Return how many target images have the same pixels as a source image."""
    target = {domain.name for domain in domains if domain.is_target}
    sources = {domain.name for domain in domains if domain.is_source}
    shared = 0
    for group in cached.copies:
        of_group = [image_set.files[index].domain for index in group]
        if not sources.isdisjoint(of_group):
            shared += sum(domain in target for domain in of_group)
    return shared


def _split(
    image_set: ImageSet, rows: Indices, spec: RunSpec, domain_index: int
) -> tuple[Indices, Indices]:
    """Split a domain's images, by group if they have groups."""
    how = spec.validation_fraction, trial_seed(spec), domain_index
    if not image_set.has_groups:
        return split_indices(len(rows), *how)
    try:
        return split_groups([image_set.files[row].group for row in rows], *how)
    except DataError as error:
        name = image_set.domains[domain_index]
        raise DataError(f"Domain {name} of {image_set.name}: {error}") from None


def digest_of_images(image_set: ImageSet, skipped: Sequence[str]) -> str:
    """Return a text that changes with ``skipped`` and the names, sizes and groups of images, and
    with the labels that are corrected."""
    files = [(file.path, file.size) for file in image_set.files]
    groups = [[file.group for file in image_set.files]] if image_set.has_groups else []
    labels = {file.path: file.class_name for file in image_set.files if file.is_relabelled}
    content = (files, skipped, *groups, *filter(None, [labels]))
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


def _check_every_class_left(image_set: ImageSet, cached: CachedImages) -> None:
    """Raise DataError if all images of a class of a domain are unreadable."""
    filled = {(file.domain, file.class_name) for file in image_set.files}
    left = {
        (file.domain, file.class_name)
        for index, file in enumerate(image_set.files)
        if index not in cached.unreadable
    }
    gone = [f"{domain}/{class_name}" for domain, class_name in sorted(filled - left)]
    if gone:
        raise DataError(f"No image in {listed(gone)} can be read. Fix or replace the files.")


def _refusal(image_set: ImageSet, cached: CachedImages) -> str:
    lines = [
        f"  {image_set.files[index].path}: {why}"
        for index, why in sorted(cached.unreadable.items())
    ]
    count = counted(len(lines), "image")
    return "\n".join(
        [f"{count} in {image_set.location} cannot be read. Fix or delete them, or skip them with "
         "--skip-bad-images:", *lines]
    )  # fmt: skip


def seed_hash(*values: Any) -> int:
    """Return a seed below 2³¹ that depends on all values.

    ``int(md5(str(values))) mod 2³¹``, as in ``misc.seed_hash`` of facebookresearch/DomainBed.
    """
    digest = hashlib.md5(str(values).encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % 2**31


def groups_of(image_set: ImageSet, rows: Sequence[int] | None = None) -> Tensor | None:
    """Return the group of each image, (n,) int64; one without a group is a group of its own.

    Groups of one name in different domains are different groups, as in the split. ``rows``: of the
    images; None: all. The result is None if the images of the set have no groups.
    """
    if not image_set.has_groups:
        return None
    numbers: dict[object, int] = {}
    files = image_set.files
    chosen = range(len(files)) if rows is None else rows
    names = [(files[row].domain, files[row].group or row) for row in chosen]
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names])


def split_groups(
    groups: Sequence[str], validation_fraction: float, trial_seed: int, domain_index: int
) -> tuple[Indices, Indices]:
    """Split images into ``in`` and ``out`` without dividing groups.

    Shuffled groups are held out, at least one, until ``validation_fraction`` is reached. Both parts
    are in the shuffled order of :func:`split_indices`.

    Args:
        groups: group of each image of the domain.
        validation_fraction: fraction of the images to hold out.
        trial_seed: seed of the split.
        domain_index: index of the domain in the sorted domains.

    Raises:
        DataError: if there are fewer than two groups.
    """
    sizes = Counter(groups)
    names = sorted(sizes)
    if len(names) < 2:
        raise DataError(
            f"all images are in the group {names[0]}, so none are left for validation."
            if names
            else "no images."
        )
    random = np.random.RandomState(seed_hash(trial_seed, domain_index))
    random.shuffle(names)
    held_out: set[str] = set()
    images = 0
    for name in names[:-1]:
        held_out.add(name)
        images += sizes[name]
        if images >= int(len(groups) * validation_fraction):
            break
    shuffled = random.permutation(len(groups)).astype(np.int64)
    is_out = np.array([groups[index] in held_out for index in shuffled])
    return shuffled[~is_out], shuffled[is_out]


def split_indices(
    count: int, validation_fraction: float, trial_seed: int, domain_index: int
) -> tuple[Indices, Indices]:
    """Split ``count`` images into ``in`` (training) and ``out`` (validation).

    The first ``int(count · validation_fraction)`` of the shuffled indices are ``out``, as in
    ``misc.split_dataset`` of facebookresearch/DomainBed.

    Args:
        count: images of the domain.
        validation_fraction: fraction of the images to hold out.
        trial_seed: seed of the split.
        domain_index: index of the domain in the sorted domains.

    Returns:
        The ``in`` and the ``out`` indices, each in shuffled order.

    Raises:
        DataError: if either would be empty.
    """
    indices = list(range(count))
    np.random.RandomState(seed_hash(trial_seed, domain_index)).shuffle(indices)
    if problem := too_few_to_split(count, validation_fraction):
        raise DataError(problem)
    out_count = int(count * validation_fraction)
    shuffled = np.array(indices, dtype=np.int64)
    return shuffled[out_count:], shuffled[:out_count]
