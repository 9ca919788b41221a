"""A probe "source or target?" on features: how far the target is, and each image's density ratio.

After Cohen-Wang, Vendrow and Madry, "Ask Your Distribution Shift if Pre-Training is Right for You"
(2024), who fine-tune a CLIP network as the probe, over ten folds; here it is a logistic regression
on the network's own features. It finds less, so images of the target count as within the support
of the sources more easily.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.data.folds import stratified_folds
from engine.diagnose.detection import RocArea, roc_area
from engine.diagnose.inputs import check_features
from engine.errors import InputError
from engine.evaluate.confidence import HOTTEST, fit_temperature
from engine.evaluate.logistic import TOLERANCE, fit_folds
from engine.text import counted

FOLDS: Final = 5
FEWEST_IMAGES: Final = 10
"""Minimum images of the sources, and of the target."""
LOGIT_VARIANCE: Final = 10.0
"""Variance of the logit of an image under the prior that the penalty stands for."""
MOST_CERTAIN: Final = 700.0
"""Largest absolute value of a log density ratio, so that the ratio is a finite number."""


@dataclass(frozen=True)
class Probe:
    """How well a probe separates the target from the sources.

    All is out of fold: the probe that judges an image was not fitted on it.

    Attributes:
        area: under the ROC curve, with DeLong's 95% interval; 0.5: not separable, 1: separated.
        source_log_ratio: log of the density ratio r = p(image | target) / p(image | sources) of
            each image of the sources, (n,) float64.
        target_log_ratio: of each image of the target, (m,) float64.
        temperature: that the log ratios were divided by.
        converged: number of folds whose fit converged.
        folds: number of folds.
        passes: of the solver over the features.
        notes: what the user should know, in sentences.
    """

    area: RocArea
    source_log_ratio: Tensor
    target_log_ratio: Tensor
    temperature: float
    converged: int
    folds: int
    passes: int
    notes: tuple[str, ...] = ()

    def area_against(self, rows: Tensor) -> RocArea:
        """Return the area against some images of the sources, such as one domain, by their rows.

        It is that of the same probe: 0.5 if these images are like the target's.
        """
        return roc_area(self.source_log_ratio[rows], self.target_log_ratio)


def probe_shift(
    source: Tensor,
    target: Tensor,
    *,
    folds: int = FOLDS,
    penalty: float | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    groups: tuple[Tensor, Tensor] | None = None,
) -> Probe:
    """Separate the target's images from the sources' by a logistic regression on their features.

    Its logits are log p/(1 − p) of "target", so log r = logit − log(m/n). They are calibrated by
    one temperature (Guo et al., ICML 2017), fitted out of fold on log r, not on the logit, so that
    a probe that has learnt nothing gives r = 1 for any n and m.

    Args:
        source: features of the sources' images, (n, D).
        target: features of the target's images, (m, D).
        folds: stratified; fewer with very few images.
        penalty: L2 penalty on the weights of standardised features; None: D /
            :data:`LOGIT_VARIANCE`, a normal prior under which logits have that variance.
        tolerance: see :func:`engine.evaluate.logistic.fit_folds`.
        seed: of the folds.
        groups: groups of the sources' and of the target's images, such as videos, int64; each is
            within one fold. Groups of the two have different numbers.

    Raises:
        InputError: with fewer than :data:`FEWEST_IMAGES` images, features that are not finite, or
            too few different images to hold some out.
    """
    _check(source, target)
    features = torch.cat([source, target])
    is_target = torch.arange(len(features)) >= len(source)
    units = None if groups is None else torch.cat(groups)
    fold = stratified_folds(features, is_target.long(), folds, seed, units)
    _refuse_one_sided(fold, is_target, folds)
    dimension = features.shape[1]
    fits = fit_folds(
        features,
        is_target,
        fold,
        penalty=dimension / LOGIT_VARIANCE if penalty is None else penalty,
        tolerance=tolerance,
    )
    log_ratio = fits.logits - math.log(len(target) / len(source))
    temperature = fit_ratio_temperature(log_ratio, is_target)
    log_ratio = (log_ratio / temperature).clamp(-MOST_CERTAIN, MOST_CERTAIN)
    converged, filled = int(fits.converged.sum()), len(fits.converged)
    return Probe(
        area=roc_area(fits.logits[~is_target], fits.logits[is_target]),
        source_log_ratio=log_ratio[~is_target],
        target_log_ratio=log_ratio[is_target],
        temperature=temperature,
        converged=converged,
        folds=filled,
        passes=fits.passes,
        notes=(*_notes_on(features), *_notes_on_fit(converged, filled, fits.passes)),
    )


def fit_ratio_temperature(log_ratio: Tensor, is_target: Tensor) -> float:
    """Return the temperature of log density ratios (N,) float64 of images with classes (N,) bool.

    It minimises the mean negative log-likelihood of logits log r / T + log(m/n). If the sign of
    every log ratio is right, it is the lowest temperature that is considered.
    """
    prior = math.log(int(is_target.sum()) / int((~is_target).sum()))
    logits = torch.stack([torch.zeros_like(log_ratio), log_ratio], dim=1)
    offset = torch.tensor([0.0, prior], dtype=torch.float64)
    return fit_temperature(logits, is_target.long(), offset) or 1 / HOTTEST


def areas_by_domain(probe: Probe, rows: Mapping[str, Tensor]) -> dict[str, RocArea]:
    """Return :meth:`Probe.area_against` of each source domain, by the rows of its images."""
    return {name: probe.area_against(of_domain) for name, of_domain in rows.items()}


def _check(source: Tensor, target: Tensor) -> None:
    check_features(source, "features of the sources")
    check_features(target, "features of the target")
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"{source.shape[1]} features of the sources, {target.shape[1]} of the target"
        )
    for name, features in (("sources have", source), ("target has", target)):
        if len(features) < FEWEST_IMAGES:
            raise InputError(
                f"The {name} {counted(len(features), 'image')}; a probe needs at least "
                f"{FEWEST_IMAGES} of each."
            )
    if bool((source == source[:1]).all()) and bool((target == source[:1]).all()):
        raise InputError(
            "All images have the same features, so nothing can be measured on them. The network "
            "has collapsed: lower --lr, or use an earlier checkpoint."
        )


def _refuse_one_sided(fold: Tensor, is_target: Tensor, folds: int) -> None:
    for at in range(folds):
        rest = is_target[fold != at]
        if bool(rest.all()) or not bool(rest.any()):
            whose = "sources" if bool(rest.all()) else "target"
            raise InputError(
                f"Too many images of the {whose} belong together (identical, or of one group), so "
                "none can be held out to test a probe."
            )


def _notes_on(features: Tensor) -> list[str]:
    images, dimension = features.shape
    notes = []
    constant = int((features.amax(dim=0) == features.amin(dim=0)).sum())
    if constant:
        notes.append(f"{constant:,} of {dimension:,} features are constant and were left out.")
    if images < dimension:
        notes.append(
            f"Fewer images ({images:,}) than features ({dimension:,}): the probe relies on its "
            "L2 penalty, and the AUC may be too low."
        )
    return notes


def _notes_on_fit(converged: int, folds: int, passes: int) -> list[str]:
    if converged == folds:
        return []
    return [
        f"The probe did not converge in {folds - converged} of {folds} folds after {passes:,} "
        "passes; AUC and density ratios are approximate."
    ]
