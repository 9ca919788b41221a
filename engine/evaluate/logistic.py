"""Logistic regressions with an L2 penalty, one for each fold of a cross-validation, all at once.

Two classes: folds share each pass over the features, which is what takes the time. More classes:
one fold after the other, to bound the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.work import Progress

MOST_PASSES: Final = 1000
"""Maximum number of passes over the features."""
TOLERANCE: Final = 1e-6
"""Largest partial derivative of a fold's mean loss at which its fit has converged."""
_MEMORY: Final = 15
_ARMIJO: Final = 1e-4
_HALVINGS: Final = 30

Loss = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Returns loss (K,) and gradient (P, K) of parameters (P, K)."""


@dataclass(frozen=True)
class FoldFits:
    """A regression for each of K folds, fitted on the images outside of the fold.

    Attributes:
        logits: of each image by the fit of its own fold, so out of fold, float64: (N,), or (N, C)
            of a multinomial regression.
        converged: whether each fold's fit reached the tolerance, (K,) bool.
        passes: over the features.
    """

    logits: Tensor
    converged: Tensor
    passes: int


def fit_folds(
    features: Tensor,
    is_positive: Tensor,
    fold: Tensor,
    *,
    penalty: float = 1.0,
    tolerance: float = TOLERANCE,
    most_passes: int = MOST_PASSES,
) -> FoldFits:
    """Fit one regression a fold, and return the logits out of fold.

    Each minimises Σ log(1 + exp(−s·z)) + penalty/2·‖w‖² over the other folds' images, with s = ±1,
    z = w·x + b and x the features standardised by their mean and standard deviation there; a
    feature that is constant there gets no weight. This is scikit-learn's ``LogisticRegression``
    with C = 1/penalty after ``StandardScaler``. The solver is L-BFGS (Liu and Nocedal,
    Mathematical Programming 1989) on features that are whitened approximately.

    Args:
        features: (N, D), finite.
        is_positive: class of each image, (N,) bool.
        fold: of each image, from 0 to K−1, (N,) int64; the other folds have both classes.
        penalty: weight of the L2 penalty, > 0.
        tolerance: largest partial derivative of the mean loss of a fit that has converged.
        most_passes: after as many passes, fits are used as they are.
    """
    problem = _Problem(features, is_positive, fold, penalty)
    weights, converged, passes = _minimise(problem, tolerance, most_passes)
    logits = problem.logits(weights).gather(1, fold[:, None])[:, 0]
    return FoldFits(logits, converged, passes)


def fit_multinomial_folds(
    features: Tensor,
    labels: Tensor,
    classes: int,
    fold: Tensor,
    *,
    penalty: float = 1.0,
    tolerance: float = TOLERANCE,
    most_passes: int = MOST_PASSES,
    on_progress: Progress = lambda _done, _total: None,
) -> FoldFits:
    """Fit one regression of C classes a fold, and return the logits out of fold.

    Each minimises the sum of the cross-entropies of softmax(Wx + b) + penalty/2·‖W‖², otherwise as
    :func:`fit_folds`. A class that the other folds lack has a probability near 0.

    Args:
        features: (N, D), finite.
        labels: classes, (N,) int64.
        classes: C.
        fold: of each image, from 0 to K−1, (N,) int64, each with images.
        penalty: weight of the L2 penalty, > 0.
        tolerance: largest partial derivative of the mean loss of a fit that has converged.
        most_passes: after as many passes, fits are used as they are.
        on_progress: called with the number of folds that are fitted and the total; may raise.
    """
    logits = torch.empty(len(features), classes, dtype=torch.float64)
    folds = int(fold.max()) + 1
    converged, passes = torch.zeros(folds, dtype=torch.bool), 0
    for at in range(folds):
        on_progress(at, folds)
        problem = _MultinomialProblem(features, labels, classes, fold != at, penalty)
        parameters, is_converged, of_fold = _minimise(problem, tolerance, most_passes)
        logits[fold == at] = problem.logits(parameters, fold == at)
        converged[at] = is_converged[0]
        passes += of_fold
    on_progress(folds, folds)
    return FoldFits(logits, converged, passes)


class _Smooth(Protocol):
    """K convex problems, whose parameters are (P, K)."""

    @property
    def start(self) -> Tensor:
        """Return the initial parameters."""

    def loss(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss (K,) and gradient (P, K)."""

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the largest partial derivative of each mean loss, (K,)."""


class _Coordinates:
    """Coordinates of weights and intercepts in which L-BFGS converges fast.

    Parameters are (D + 1, M) for M weight vectors: v with w = L⁻ᵀ v, and the scaled intercept.
    L Lᵀ is an upper bound of the Hessian of w: Böhning, "Multinomial logistic regression
    algorithm", 1992.
    """

    def __init__(self, bound: Tensor, intercept_scale: float) -> None:
        """``bound``: upper bound of the Hessian, (D, D) float64."""
        self._factor = torch.linalg.cholesky(bound)
        self._intercept_scale = intercept_scale

    def unwhitened(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights (D, M) and intercepts (M,) of parameters."""
        weights = torch.linalg.solve_triangular(self._factor.T, parameters[:-1], upper=True)
        return weights, parameters[-1] * self._intercept_scale

    def gradient(self, by_weight: Tensor, by_intercept: Tensor) -> Tensor:
        """Return the gradient of the parameters from those of weights and intercepts."""
        whitened = torch.linalg.solve_triangular(self._factor, by_weight, upper=False)
        return torch.cat([whitened, by_intercept[None] * self._intercept_scale])

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the largest partial derivative by a weight or intercept, (M,)."""
        by_weight = self._factor @ gradient[:-1]
        by_intercept = gradient[-1] / self._intercept_scale
        steepest: Tensor = by_weight.abs().amax(dim=0).maximum(by_intercept.abs())
        return steepest


class _Problem:
    """The regressions of all folds, whose parameters are (D + 1, K)."""

    def __init__(self, features: Tensor, is_positive: Tensor, fold: Tensor, penalty: float) -> None:
        centred = features.double()
        centred = centred - centred.mean(dim=0)
        scale = centred.square().mean(dim=0).sqrt()
        is_constant = features.amax(dim=0) == features.amin(dim=0)
        self._x = centred / torch.where(is_constant, torch.inf, scale)
        self._sign = 2.0 * is_positive.double()[:, None] - 1
        folds = torch.arange(int(fold.max()) + 1)
        self._trains = (fold[:, None] != folds).double()
        self.images = self._trains.sum(dim=0)
        self._mean = (self._trains.T @ self._x).T / self.images
        square = (self._trains.T @ self._x.square()).T / self.images
        deviation = (square - self._mean.square()).clamp(min=0).sqrt()
        self._scale = torch.where(deviation > 1e-7, deviation, torch.inf)
        self._penalty = penalty
        rounded = self._x.float()  # need not be exact
        bound = (rounded.T @ rounded).double() / 4
        bound.diagonal().add_(penalty)
        self._coordinates = _Coordinates(bound, 2 / len(features) ** 0.5)

    @property
    def start(self) -> Tensor:
        """Return parameters of zero."""
        return self._x.new_zeros(self._x.shape[1] + 1, len(self.images))

    def logits(self, parameters: Tensor) -> Tensor:
        """Return z of every image by each fold's fit, (N, K)."""
        weights, intercept = self._coordinates.unwhitened(parameters)
        effective = weights / self._scale
        return self._x @ effective - (self._mean * effective).sum(dim=0) + intercept

    def loss(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and gradient."""
        weights, _ = self._coordinates.unwhitened(parameters)
        margins = self._sign * self.logits(parameters)
        loss = (F.softplus(-margins) * self._trains).sum(dim=0)
        loss = loss + self._penalty / 2 * weights.square().sum(dim=0)
        pull = -self._sign * torch.sigmoid(-margins) * self._trains
        total = pull.sum(dim=0)
        products = (pull.T @ self._x).T  # faster than XᵀP for a few columns
        by_weight = (products - self._mean * total) / self._scale
        by_weight = by_weight + self._penalty * weights
        return loss, self._coordinates.gradient(by_weight, total)

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the largest partial derivative of each fold's mean loss, (K,)."""
        return self._coordinates.steepest(gradient) / self.images


class _MultinomialProblem:
    """One regression of C classes, fitted on some images; parameters are ((D + 1)·C, 1)."""

    def __init__(
        self, features: Tensor, labels: Tensor, classes: int, trains: Tensor, penalty: float
    ) -> None:
        fitted = features[trains].double()
        self._features, self._mean = features, fitted.mean(dim=0)
        is_constant = fitted.amax(dim=0) == fitted.amin(dim=0)
        deviation = fitted.var(dim=0, correction=0).sqrt()
        self._scale = torch.where(is_constant, torch.inf, deviation)
        self._x, self._labels = (fitted - self._mean) / self._scale, labels[trains]
        self._classes, self._penalty = classes, penalty
        bound = self._x.T @ self._x / 2
        bound.diagonal().add_(penalty)
        self._coordinates = _Coordinates(bound, (2 / len(fitted)) ** 0.5)

    @property
    def start(self) -> Tensor:
        """Return parameters of zero."""
        return self._x.new_zeros((self._x.shape[1] + 1) * self._classes, 1)

    def logits(self, parameters: Tensor, rows: Tensor) -> Tensor:
        """Return the logits of images, (n, C)."""
        weights, intercept = self._unwhitened(parameters)
        x = (self._features[rows].double() - self._mean) / self._scale
        return x @ weights + intercept

    def loss(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss (1,) and gradient."""
        weights, intercept = self._unwhitened(parameters)
        log_probabilities = (self._x @ weights + intercept).log_softmax(dim=1)
        loss = F.nll_loss(log_probabilities, self._labels, reduction="sum")
        loss = loss + self._penalty / 2 * weights.square().sum()
        pull = log_probabilities.exp()
        pull[torch.arange(len(pull)), self._labels] -= 1
        by_weight = self._x.T @ pull + self._penalty * weights
        return loss[None], self._coordinates.gradient(by_weight, pull.sum(dim=0)).view(-1, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the largest partial derivative of the mean loss, (1,)."""
        of_classes = self._coordinates.steepest(gradient.view(-1, self._classes))
        return of_classes.amax(dim=0, keepdim=True) / len(self._x)

    def _unwhitened(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return self._coordinates.unwhitened(parameters.view(-1, self._classes))


def _minimise(problem: _Smooth, tolerance: float, most_passes: int) -> tuple[Tensor, Tensor, int]:
    """Return the parameters of all folds, which have converged, and the number of passes."""
    at = problem.start
    loss, gradient = problem.loss(at)
    passes = 1
    memory: deque[tuple[Tensor, Tensor]] = deque(maxlen=_MEMORY)
    while passes < most_passes:
        moves = problem.steepest(gradient) > tolerance
        if not bool(moves.any()):
            break
        direction = -_approximate_newton(gradient, memory) * moves
        slope = (gradient * direction).sum(dim=0)
        step = torch.ones_like(slope)
        for _ in range(_HALVINGS):
            candidate = at + step * direction
            new_loss, new_gradient = problem.loss(candidate)
            passes += 1
            rounding = 1e-14 * loss.abs()
            is_enough = new_loss <= loss + _ARMIJO * step * slope + rounding
            if bool(is_enough.all()):
                break
            step = torch.where(is_enough, step, step / 2)
        else:  # no descent within the precision of the loss
            break
        memory.append((candidate - at, new_gradient - gradient))
        at, loss, gradient = candidate, new_loss, new_gradient
    return at, problem.steepest(gradient) <= tolerance, passes


def _approximate_newton(gradient: Tensor, memory: deque[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the gradient times L-BFGS's approximation of the inverse Hessian, fold by fold."""
    direction = gradient
    used = []
    for moved, change in reversed(memory):
        product = (moved * change).sum(dim=0)
        inverse = torch.where(product > 0, 1 / product, 0.0)
        share = inverse * (moved * direction).sum(dim=0)
        direction = direction - share * change
        used.append((moved, change, inverse, share))
    if memory:
        moved, change = memory[-1]
        ratio = (moved * change).sum(dim=0) / change.square().sum(dim=0)
        direction = direction * torch.where(ratio > 0, ratio, 1.0)
    for moved, change, inverse, share in reversed(used):
        direction = direction + moved * (share - inverse * (change * direction).sum(dim=0))
    return direction
