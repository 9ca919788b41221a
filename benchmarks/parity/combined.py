"""Rows on combined networks: soups, and interpolations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from torch import Tensor

from benchmarks.parity.reference import combining as theirs
from benchmarks.parity.row import Expected, Row, difference_text, largest_difference
from engine.combine.averaging import WeightMean, rank_parents, try_parents
from engine.combine.bench import Bench, Validation
from engine.model.interpolation import blend

CASES: Final = 200
VALIDATION_IMAGES: Final = (50, 200, 1_000, 100_000)
INGREDIENTS: Final = 8


def uniform_soup(_folder: Path) -> Row:
    """Compare the mean of several networks."""
    networks = _networks(INGREDIENTS, 0)
    mean = WeightMean(networks[0])
    for each in networks[1:]:
        mean.add(each)
    ours, expected = mean.weights(), theirs.uniform_soup(networks)
    difference = largest_difference(*_paired(ours, expected))
    return Row(
        "uniform soup",
        "sum of shares in fp32 (model-soups `main.py`)",
        "mean in fp64 (`vld combine soup`)",
        f"{INGREDIENTS} networks with random weights",
        difference_text(difference),
        difference < 1e-6,
    )


def interpolation(_folder: Path) -> Row:
    """Compare weights interpolated between two networks, and the ends."""
    first, second = _networks(2, 1)
    shares = [at / 10 for at in range(11)]
    difference = max(
        largest_difference(
            *_paired(blend(first, second, share), theirs.wise_ft(first, second, share))
        )
        for share in shares
    )
    ends = max(
        largest_difference(*_paired(blend(first, second, share), end))
        for share, end in ((0.0, first), (1.0, second))
    )
    return Row(
        "weights between two networks (WiSE-FT)",
        "(1 − α) θ₀ + α θ₁ (wise-ft `src/wise_ft.py`, `_merge`)",
        "the same, in fp64 (`vld combine interpolate`)",
        "α = 0, 0.1, …, 1",
        f"{difference_text(difference)}; at both ends {difference_text(ends)}",
        difference < 1e-6 and ends == 0,
    )


def greedy_soup_by_algorithm(_folder: Path) -> Row:
    """Compare which networks a greedy soup keeps with the paper's algorithm."""
    same = sum(
        _kept_by_engine(networks, validate) == theirs.greedy_soup_of_algorithm_1(networks, validate)
        for networks, validate in _cases(1_000)
    )
    return Row(
        "greedy soup, the paper's algorithm",
        "kept if accuracy does not fall: ≥ (arXiv 2203.05482, algorithm 1)",
        "`vld combine soup --greedy`: the same; ties are tried in the order given",
        f"{CASES} cases: {INGREDIENTS} networks, accuracy an artificial function of the weights, "
        "on 1,000 images",
        f"the same networks are kept in {same} of {CASES}",
        same == CASES,
    )


def greedy_soup_by_code(_folder: Path) -> Row:
    """Compare which networks a greedy soup keeps with the code's."""
    agreed = {
        images: sum(
            set(theirs.greedy_soup_of_the_code(networks, validate))
            == set(theirs.greedy_soup_of_algorithm_1(networks, validate))
            for networks, validate in _cases(images)
        )
        for images in VALIDATION_IMAGES
    }
    shown = ", ".join(f"{count} with {images:,}" for images, count in agreed.items())
    return Row(
        "greedy soup, the code of its authors",
        "kept only if accuracy rises: >; ties are tried in reverse order (model-soups `main.py`)",
        "≥, as the paper's algorithm",
        "the same cases with other numbers of validation images",
        f"the same networks are kept in {shown} images, of {CASES} cases each",
        agreed[VALIDATION_IMAGES[0]] < agreed[VALIDATION_IMAGES[-1]],
        Expected.DIFFERENT,
    )


@dataclass(frozen=True)
class MadeUpAccuracy:
    """An accuracy on ``images`` images that falls with the distance from some weights."""

    best: Mapping[str, Tensor]
    images: int

    def __call__(self, weights: Mapping[str, Tensor]) -> float:
        """Return the accuracy of weights."""
        away = sum(
            float((weights[name] - each).square().mean()) for name, each in self.best.items()
        )
        return round(self.images * (0.9 - 0.02 * away)) / self.images


def _cases(images: int) -> list[tuple[list[dict[str, Tensor]], MadeUpAccuracy]]:
    cases = []
    for seed in range(CASES):
        *networks, best = _networks(INGREDIENTS + 1, 100 + seed)
        cases.append((networks, MadeUpAccuracy(best, images)))
    return cases


def _networks(count: int, seed: int) -> list[dict[str, Tensor]]:
    """Return networks of two layers with random weights."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"layer.weight": (6, 8), "layer.bias": (6,), "head.weight": (3, 6)}
    return [
        {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def _paired(
    ours: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    return list(ours.values()), [expected[name] for name in ours]


class _NoLog:
    def record(self, event: object) -> None:
        """Keep nothing."""


@dataclass(frozen=True)
class _Parent:
    """A network with weights of its own."""

    run_id: str
    network: dict[str, Tensor]

    def weights(self) -> dict[str, Tensor]:
        """Return them."""
        return self.network


class _Bench:
    """A bench that ranks parents by an artificial accuracy, without images."""

    def __init__(self, networks: Sequence[dict[str, Tensor]], validate: theirs.Validate) -> None:
        self.parents = tuple(_Parent(str(at), each) for at, each in enumerate(networks))
        self.log = _NoLog()
        self._validate = validate

    def validate(self, weights: Mapping[str, Tensor]) -> Validation:
        """Return the accuracy of weights."""
        return Validation(self._validate(weights), 0.0)


def _kept_by_engine(networks: Sequence[dict[str, Tensor]], validate: theirs.Validate) -> list[int]:
    """Return the networks that the engine's greedy soup keeps, in order of addition."""
    bench = _Bench(networks, validate)
    ranked = rank_parents(cast("Bench", bench))
    best = ranked[0].parent
    tried = list(try_parents(ranked, WeightMean(best.weights()), bench.validate))
    return [int(best.run_id), *(int(each.parent) for each in tried if each.is_kept)]
