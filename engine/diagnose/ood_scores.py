"""Scores of how unlike the training images an image is, from features; higher is more unlike.

Those from logits, max-softmax and energy, are in :mod:`engine.evaluate.confidence`. How well a
score works: :mod:`engine.diagnose.detection`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.diagnose.inputs import check_features, check_labels, float64_chunks
from engine.errors import InputError

DEGREES_OF_FREEDOM: Final = 50
"""Of the Student-t density, as in Alexanderson and Henter, "Robust model training and
generalisation with Studentising flows" (2020)."""
NEIGHBOURS: Final = 50
"""As in Ardeshir and Azizan, "Uncertainty in Contrastive Learning" (2022)."""
LEAST_SHRINKAGE: Final = 1e-6
"""Keeps a covariance invertible where features are constant or copies of one another."""
_CHUNK: Final = 1024


@dataclass(frozen=True)
class ShrunkCovariance:
    """A covariance shrunk towards a multiple of the identity.

    Attributes:
        matrix: (1 − shrinkage) S + shrinkage · mean variance · I, (D, D) float64.
        shrinkage: from 0 to 1.
    """

    matrix: Tensor
    shrinkage: float


def ledoit_wolf(centred: Tensor) -> ShrunkCovariance:
    """Return the shrunk covariance of features (N, D) whose mean is 0.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 2004: the shrinkage that minimises the expected squared error,
    here at least :data:`LEAST_SHRINKAGE`.

    Raises:
        InputError: if all features are constant.
    """
    x = centred.double()
    images, dimension = x.shape
    sample = x.T @ x / images
    variance = float(sample.diagonal().mean())
    if not variance > 0:
        raise InputError("All features are constant in every class, so they have no covariance.")
    spread = (float(sample.square().sum()) - dimension * variance**2) / dimension
    fourth = float(x.square().sum(dim=1).square().sum()) / images
    noise = (fourth - float(sample.square().sum())) / (dimension * images)
    shrinkage = min(1.0, noise / spread) if spread > 0 else 1.0
    shrinkage = max(LEAST_SHRINKAGE, shrinkage)
    matrix = sample * (1 - shrinkage)
    matrix.diagonal().add_(shrinkage * variance)
    return ShrunkCovariance(matrix, shrinkage)


@dataclass(frozen=True)
class ClassDensities:
    """Densities of features, one for each class, with one covariance for all.

    Attributes:
        means: of each class, whitened, (C, D) float64.
        log_shares: log of each class's share of the images, (C,); −∞ without images.
        whitening: lower triangular L⁻¹ of the covariance L Lᵀ, (D, D) float64.
        log_scale: log of the determinant of L.
        shrinkage: of the covariance, from 0 to 1.
        notes: what the user should know, in sentences.
    """

    means: Tensor
    log_shares: Tensor
    whitening: Tensor
    log_scale: float
    shrinkage: float
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, features: Tensor, labels: Tensor, classes: int) -> ClassDensities:
        """Fit training images: (N, D), labels (N,) int64. A class may have no images.

        Raises:
            InputError: if features are not finite, or constant in every class.
        """
        check_features(features)
        check_labels(labels, len(features))
        x = features.double()
        counts = torch.bincount(labels, minlength=classes).double()
        sums = torch.zeros(classes, x.shape[1], dtype=torch.float64).index_add_(0, labels, x)
        means = sums / counts.clamp(min=1)[:, None]
        covariance = ledoit_wolf(x - means[labels])
        factor = torch.linalg.cholesky(covariance.matrix)
        identity = torch.eye(len(factor), dtype=torch.float64)
        whitening = torch.linalg.solve_triangular(factor, identity, upper=False)
        return cls(
            means=means @ whitening.T,
            log_shares=(counts / len(x)).log(),
            whitening=whitening,
            log_scale=float(factor.diagonal().log().sum()),
            shrinkage=covariance.shrinkage,
            notes=tuple(_covariance_notes(len(x), x.shape[1], covariance.shrinkage)),
        )

    def gaussian(self, features: Tensor) -> Tensor:
        """Return −log p of a mixture of Gaussians, one for each class, of (n, D), in nats: (n,).

        With equal classes this is nearly half the squared Mahalanobis distance to the nearest class
        (Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
        Adversarial Attacks", NeurIPS 2018) up to a constant.
        """
        dimension = self.means.shape[1]
        constant = dimension / 2 * math.log(2 * math.pi) + self.log_scale
        log_densities = -self._squared_distances(features) / 2 - constant
        return -(log_densities + self.log_shares).logsumexp(dim=1)

    def student(self, features: Tensor, degrees: float = DEGREES_OF_FREEDOM) -> Tensor:
        """Return −log p of a mixture of Student-t densities of (n, D), in nats: (n,).

        Their covariance is that of the Gaussians, so their scale matrix is (ν − 2)/ν of it. Their
        tails are heavier, so that a distant image outweighs others less. With one covariance for
        all classes both scores order images by nearly the same distances.

        Args:
            features: (n, D).
            degrees: ν, above 2.
        """
        dimension = self.means.shape[1]
        shape = (degrees - 2) / degrees
        constant = (
            math.lgamma(degrees / 2)
            - math.lgamma((degrees + dimension) / 2)
            + dimension / 2 * math.log(degrees * math.pi * shape)
            + self.log_scale
        )
        distances = self._squared_distances(features) / (shape * degrees)
        log_densities = -(degrees + dimension) / 2 * distances.log1p() - constant
        return -(log_densities + self.log_shares).logsumexp(dim=1)

    def _squared_distances(self, features: Tensor) -> Tensor:
        """Return the squared Mahalanobis distance of each image to each class, (n, C)."""
        check_features(features)
        found = []
        for rows in float64_chunks(features):
            whitened = rows @ self.whitening.T
            products = whitened @ self.means.T
            squares = whitened.square().sum(dim=1, keepdim=True) + self.means.square().sum(dim=1)
            found.append((squares - 2 * products).clamp(min=0))
        return torch.cat(found)


def _covariance_notes(images: int, dimension: int, shrinkage: float) -> list[str]:
    if images >= dimension:
        return []
    return [
        f"Fewer training images ({images:,}) than features ({dimension:,}): the covariance of the "
        f"class densities relies on shrinkage ({shrinkage:.0%})."
    ]


@dataclass(frozen=True)
class Neighbours:
    """The training images nearest to each image.

    Attributes:
        rows: of the k nearest, nearest first, (n, k) int64.
        similarities: their cosines, (n, k) float64.
    """

    rows: Tensor
    similarities: Tensor

    @property
    def density(self) -> Tensor:
        """Return the mean cosine to the neighbours, at least 0, (n,)."""
        return self.similarities.mean(dim=1).clamp(min=0)

    def agreement(self, other: Neighbours) -> Tensor:
        """Return the share of neighbours that are also those in ``other``, (n,) float64."""
        joined = torch.cat([self.rows, other.rows], dim=1).sort(dim=1).values
        shared = (joined[:, 1:] == joined[:, :-1]).sum(dim=1)
        return shared.double() / self.rows.shape[1]


def nearest_neighbours(
    features: Tensor, training: Tensor, neighbours: int = NEIGHBOURS
) -> Neighbours:
    """Return the training images (N, D) most similar to each image (n, D), by cosine.

    Features of length 0 have a cosine of 0. There are fewer neighbours than asked for if there are
    fewer training images.

    Raises:
        InputError: if features are not finite, or there are no images.
    """
    check_features(features)
    check_features(training, "features of the training images")
    unit = _unit(training.double())
    count = min(neighbours, len(training))
    best = [(_unit(rows.double()) @ unit.T).topk(count, dim=1) for rows in features.split(_CHUNK)]
    return Neighbours(
        torch.cat([each.indices for each in best]), torch.cat([each.values for each in best])
    )


def _unit(rows: Tensor) -> Tensor:
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    return unit


def neighbour_score(one: Neighbours, other: Neighbours | None = None) -> Tensor:
    """Return 1 − density · agreement, (n,): how little an image resembles the training images.

    After Ardeshir and Azizan, "Uncertainty in Contrastive Learning" (2022): an image is reliable if
    the training images are dense around it, and if networks of two seeds agree on its neighbours.
    The density is the mean of the two networks'.

    Args:
        one: neighbours in one network's features.
        other: in those of another seed, of the same images and training images; None: the score
            is 1 − density.
    """
    if other is None:
        return 1 - one.density
    return 1 - (one.density + other.density) / 2 * one.agreement(other)
