"""Folds of a cross-validation."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

SAME: Final = 1e-5
"""Distance between features of the same image, as a share of their length: rounding differs
between batches."""
_DIRECTIONS: Final = 3


def stratified_folds(
    features: Tensor, labels: Tensor, folds: int, seed: int, groups: Tensor | None = None
) -> Tensor:
    """Return the fold of each image, so that each class has about equal shares of every fold.

    Images that belong together are in the same fold: copies, which have the same features and
    would be known from other folds, and images of a group, such as frames of a video.

    Args:
        features: (N, D).
        labels: class of each image, (N,) int64.
        folds: K.
        seed: of the random order.
        groups: group of each image, (N,) int64; None: images have no groups.

    Returns:
        (N,) int64, from 0 to K−1.
    """
    units = _units(features, seed, groups)
    rows_of = np.split(np.argsort(units, kind="stable"), np.bincount(units).cumsum()[:-1])
    of_class = labels.numpy()
    shares = 1 / np.bincount(of_class).clip(min=1)
    filled = np.zeros((folds, len(shares)))
    fold = np.empty(len(of_class), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(rows_of))
    for unit in sorted(order.tolist(), key=lambda at: -len(rows_of[at])):
        rows = rows_of[unit]
        added = np.bincount(of_class[rows], minlength=len(shares)) * shares
        chosen = int((filled @ (added > 0)).argmin())
        filled[chosen] += added
        fold[rows] = chosen
    return torch.from_numpy(fold)


def _units(features: Tensor, seed: int, groups: Tensor | None) -> npt.NDArray[np.int64]:
    """Return a number for each set of images that belong together, (N,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [_copies(features, seed)]
    if groups is not None:
        order = groups.argsort(stable=True)
        is_same = groups[order].diff() == 0
        links.append(torch.stack([order[:-1][is_same], order[1:][is_same]]))
    first, second = torch.cat(links, dim=1).numpy()
    shape = (len(features), len(features))
    graph = coo_array((np.ones(len(first)), (first, second)), shape=shape)
    units: npt.NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return units


def _copies(features: Tensor, seed: int) -> Tensor:
    """Return pairs of images with the same features, (2, P): neighbours in some random direction.

    Copies are neighbours in a direction unless another image is exactly between them.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(features.shape[1], _DIRECTIONS, generator=generator)
    places = (features.float() @ directions).argsort(dim=0)
    pairs = []
    for order in places.T:
        sorted_features = features[order]
        distance = (sorted_features[1:] - sorted_features[:-1]).norm(dim=1)
        is_copy = distance <= SAME * sorted_features[1:].norm(dim=1)
        pairs.append(torch.stack([order[:-1][is_copy], order[1:][is_copy]]))
    return torch.cat(pairs, dim=1)
