"""Split of a domain into training and validation images, identical to DomainBed's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import DataError
from engine.protocol import too_few_to_split

Indices = npt.NDArray[np.int64]


def seed_hash(*values: Any) -> int:
    """Return a seed below 2³¹ that depends on all values.

    ``int(md5(str(values))) mod 2³¹``, as in ``misc.seed_hash`` of facebookresearch/DomainBed.
    """
    digest = hashlib.md5(str(values).encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % 2**31


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
