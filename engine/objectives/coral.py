"""Correlation alignment: features of all sources should have the same mean and covariance.

Sun & Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", arXiv 1607.01719, in
the form of DomainBed (facebookresearch/DomainBed, ``algorithms.py``, ``CORAL``), which also
compares means, and all pairs of sources.
"""

from __future__ import annotations

from torch import Tensor

from engine.objectives.objective import Batch, Penalty


class CORAL(Penalty):
    """Differences between the sources' unmasked features in mean and covariance.

    ``coral_weight`` is DomainBed's ``mmd_gamma``.
    """

    def forward(self, batch: Batch, losses: Tensor) -> Tensor:  # noqa: ARG002
        """Return the weighted penalty, a scalar."""
        features = batch.features.unflatten(0, (batch.domains, -1))
        return self.spec.coral_weight * moment_differences(features)


def moment_differences(features: Tensor) -> Tensor:
    """Return the mean over pairs of sources of mean((μ_i − μ_j)²) + mean((C_i − C_j)²), a scalar.

    μ (D,) is the mean of a source's features and C (D, D) their covariance. The covariances are
    never formed: with X the centred features of a source, ⟨XᵀX, YᵀY⟩ = ‖XYᵀ‖², which needs n·n
    numbers, not D·D.

    Args:
        features: (S, n, D) of S ≥ 2 sources with n ≥ 2 images each.
    """
    sources, images, width = features.shape
    means = features.mean(dim=1)
    centred = (features - means[:, None]).flatten(0, 1)
    gram = (centred @ centred.mT / (images - 1)).view(sources, images, sources, images)
    products = gram.square().sum(dim=(1, 3))  # ⟨C_i, C_j⟩, (S, S)
    squares = products.diagonal()
    apart = squares[:, None] + squares - 2 * products  # ‖C_i − C_j‖²
    of_covariances = apart.sum() / (sources * (sources - 1) * width**2)
    # The mean squared difference of all pairs is twice the unbiased variance.
    of_means = 2 * means.var(dim=0).mean()
    return of_means + of_covariances
