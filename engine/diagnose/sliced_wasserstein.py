"""Sliced-Wasserstein distances between the features of domains, and those that chance alone gives.

Bonneel, Rabin, Peyré and Pfister, "Sliced and Radon Wasserstein Barycenters of Measures", Journal
of Mathematical Imaging and Vision 2015. Coeurdoux, Dobigeon and Chainais, "Sliced-Wasserstein
normalizing flows" (2022), train a flow with this distance; here it only compares domains.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from engine.diagnose.inputs import check_features
from engine.errors import InputError
from engine.text import counted

PROJECTIONS: Final = 200
SPLITS: Final = 100
"""Random splits of the sources into halves."""
MOST_SPLIT: Final = 2000
"""Maximum number of images of the sources that are split."""
FEWEST_IMAGES: Final = 4
"""Minimum images of a domain."""
CHANCE_SHARE: Final = 0.95
"""Share of random samples of the same images that are at most the chance distance apart."""


class Distance(NamedTuple):
    """A distance between two sets of images.

    Attributes:
        value: in standard deviations of the sources along a random direction.
        chance: 95% quantile of the distance of two random samples of the sources' images, as large
            as the two sets.
        p_value: share of such samples that are at least as far apart, from 1/(splits + 1) to 1.
    """

    value: float
    chance: float
    p_value: float

    @property
    def is_chance(self) -> bool:
        """Return whether random samples are as far apart."""
        return self.value <= self.chance


@dataclass(frozen=True)
class DomainDistances:
    """Distances between domains.

    Attributes:
        sources: names of the sources.
        targets: names of the other domains.
        between: distance of each two domains, by their names in this order: sources, targets.
        to_sources: distance of each domain to the images of all other sources together; a source
            is missing if there is no other.
        notes: what the user should know, in sentences.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    between: Mapping[tuple[str, str], Distance]
    to_sources: Mapping[str, Distance]
    notes: tuple[str, ...] = ()

    def of(self, one: str, other: str) -> Distance:
        """Return the distance of two different domains, in any order."""
        return self.between.get((one, other)) or self.between[other, one]

    def nearest_source(self, name: str) -> str | None:
        """Return the source that is nearest to a domain; None: there is no other."""
        others = [source for source in self.sources if source != name]
        return min(others, key=lambda source: self.of(name, source).value, default=None)


def domain_distances(
    sources: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    *,
    projections: int = PROJECTIONS,
    splits: int = SPLITS,
    seed: int = 0,
) -> DomainDistances:
    """Measure the sliced-Wasserstein-2 distance between every two domains.

    Features are divided by the root mean variance of the sources' features. What chance alone
    gives is measured on random halves of the sources, with half of each source in each. Two samples
    of n and m images of one distribution are √(1/n + 1/m) apart up to a factor, so distances of
    halves are scaled to the sizes of the domains.

    Args:
        sources: features (n, D) of each source, by name.
        targets: the same of the other domains; may be empty.
        projections: random directions; all distances use the same ones.
        splits: into halves.
        seed: of directions and splits.

    Raises:
        InputError: if there are fewer than two domains or no source, a domain has fewer than
            :data:`FEWEST_IMAGES` images, or features are not finite.
    """
    _check(sources, targets)
    scale, notes = _scale(list(sources.values()))
    generator = torch.Generator().manual_seed(seed)
    dimension = next(iter(sources.values())).shape[1]
    directions = random_directions(dimension, projections, generator) / scale
    projected = {
        name: _project(features, directions) for name, features in {**sources, **targets}.items()
    }
    of_halves = _HalvesDistances.of([projected[name] for name in sources], splits, generator)
    ordered = {name: values.sort(dim=1).values for name, values in projected.items()}
    between = {
        (one, other): of_halves.judge(ordered[one], ordered[other])
        for one, other in itertools.combinations(ordered, 2)
    }
    to_sources = {}
    for name, values in ordered.items():
        if rest := [projected[source] for source in sources if source != name]:
            to_sources[name] = of_halves.judge(values, torch.cat(rest, dim=1).sort(dim=1).values)
    return DomainDistances(tuple(sources), tuple(targets), between, to_sources, notes)


def sliced_wasserstein(one: Tensor, other: Tensor, directions: Tensor) -> float:
    """Return the sliced-Wasserstein-2 distance: √ of the mean over directions of W₂².

    Args:
        one: features, (n, D).
        other: features, (m, D).
        directions: unit vectors, (D, P).
    """
    ordered = (_project(each, directions.double()).sort(dim=1).values for each in (one, other))
    return _distance(*ordered)


def random_directions(dimension: int, count: int, generator: torch.Generator) -> Tensor:
    """Return unit vectors, uniform on the sphere, (D, P) float64."""
    directions = torch.randn(dimension, count, generator=generator, dtype=torch.float64)
    unit: Tensor = directions / directions.norm(dim=0)
    return unit


def _project(features: Tensor, directions: Tensor) -> Tensor:
    """Return features (n, D) along directions (D, P), (P, n) float64."""
    return (features.double() @ directions).T.contiguous()


def _distance(one: Tensor, other: Tensor) -> float:
    """Return the distance of projections (P, n) and (P, m), sorted in each row.

    In one dimension W₂² is the integral of the squared difference of the quantile functions, which
    are constant between the cuts i/n and j/m.
    """
    n, m = one.shape[1], other.shape[1]
    if n == m:
        return math.sqrt(float((one - other).square().mean()))
    cuts = torch.cat([torch.arange(n + 1) * m, torch.arange(m + 1) * n]).unique()
    widths = cuts.diff().double() / (n * m)
    gaps = one[:, cuts[:-1] // m] - other[:, cuts[:-1] // n]
    return math.sqrt(float((gaps.square() @ widths).mean()))


@dataclass(frozen=True)
class _HalvesDistances:
    """Distances of random halves of the sources, each of ``images`` images, (splits,)."""

    distances: Tensor
    images: int

    @classmethod
    def of(
        cls, projected: Sequence[Tensor], splits: int, generator: torch.Generator
    ) -> _HalvesDistances:
        """Split projections (P, n) of each source."""
        share = min(1.0, MOST_SPLIT / sum(each.shape[1] for each in projected))
        kept = []
        for each in projected:
            pairs = max(1, int(share * each.shape[1]) // 2)
            chosen = torch.randperm(each.shape[1], generator=generator)[: 2 * pairs]
            kept.append(each[:, chosen])
        sizes = [each.shape[1] for each in kept]
        values, order = torch.cat(kept, dim=1).sort(dim=1)
        half = sum(sizes) // 2
        distances = []
        for _ in range(splits):
            is_first = torch.cat(
                [torch.randperm(size, generator=generator) < size // 2 for size in sizes]
            )[order]
            gaps = values[is_first].view(-1, half) - values[~is_first].view(-1, half)
            distances.append(gaps.square().mean().sqrt())
        return cls(torch.stack(distances), half)

    def judge(self, one: Tensor, other: Tensor) -> Distance:
        """Return the distance of sorted projections (P, n) and (P, m)."""
        ratio = (1 / one.shape[1] + 1 / other.shape[1]) / (2 / self.images)
        by_chance = self.distances * math.sqrt(ratio)
        value = _distance(one, other)
        beyond = int((by_chance >= value).sum())
        chance = float(by_chance.quantile(CHANCE_SHARE))
        return Distance(value, chance, (1 + beyond) / (1 + len(by_chance)))


def _scale(sources: Sequence[Tensor]) -> tuple[float, tuple[str, ...]]:
    """Return the root mean variance of the sources' features, and notes."""
    variance = float(torch.cat([*sources]).double().var(dim=0, correction=0).mean())
    if variance > 0:
        return math.sqrt(variance), ()
    return 1.0, ("The features of the sources are constant, so distances have no scale.",)


def _check(sources: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
    if not sources or len(sources) + len(targets) < 2:
        raise InputError("Distances between domains need at least two domains.")
    for name, features in {**sources, **targets}.items():
        check_features(features, f"features of {name}")
        if len(features) < FEWEST_IMAGES:
            raise InputError(
                f"{name} has {counted(len(features), 'image')}; distances between domains need at "
                f"least {FEWEST_IMAGES} of each."
            )
