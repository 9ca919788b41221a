"""How similar two representations of the same images are: linear CKA."""

from __future__ import annotations

from torch import Tensor

from engine.diagnose.inputs import check_features, column_means, cross_product, is_constant
from engine.errors import InputError


def linear_cka(first: Tensor, second: Tensor) -> float | None:
    """Return the linear CKA of two representations, from 0 to 1 (equal up to rotation and scale).

    It is ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) in Frobenius norms, with centred columns: Kornblith et al.,
    "Similarity of Neural Network Representations Revisited", ICML 2019, section 3. In this form it
    takes time and memory for D₁ × D₂, not N × N, so N may be large. With fewer images than
    dimensions it is biased upwards, also for unrelated representations.

    Args:
        first: X, (N, D₁) float32.
        second: Y, (N, D₂) float32, of the same images in the same order.

    Returns:
        None if one of them is constant.

    Raises:
        InputError: if a feature is NaN or infinite, or the numbers of images differ.
    """
    for features in (first, second):
        check_features(features)
    if len(first) != len(second):
        raise InputError(
            f"The representations are of {len(first):,} and {len(second):,} images. Compare "
            "features of the same images."
        )
    x, y = column_means(first), column_means(second)
    if is_constant(first, x) or is_constant(second, y):
        return None
    if len(first) < first.shape[1] and len(first) < second.shape[1]:
        return _cka_of_similarities(first.double() - x, second.double() - y)
    shared = cross_product(first, second, (x, y)).square().sum()
    norms = (
        cross_product(first, first, (x, x)).norm() * cross_product(second, second, (y, y)).norm()
    )
    return min(1.0, float(shared / norms))


def _cka_of_similarities(first: Tensor, second: Tensor) -> float:
    """Return the same from N × N similarities of few centred rows."""
    x, y = first @ first.T, second @ second.T
    return min(1.0, float((x * y).sum() / (x.norm() * y.norm())))
