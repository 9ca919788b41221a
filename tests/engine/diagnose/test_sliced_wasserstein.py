"""Distances of domains agree with POT and SciPy, and chance distances with fresh samples."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from engine.diagnose.sliced_wasserstein import (
    domain_distances,
    random_directions,
    sliced_wasserstein,
)
from engine.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the array libraries that it looks for
    import ot


def _features(images: int, seed: int, shift: float = 0.0, dimension: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, dimension, generator=generator) + shift


@pytest.mark.parametrize(("n", "m"), [(40, 40), (37, 91), (60, 20), (5, 1)])
def test_the_distance_is_that_of_pot(n: int, m: int) -> None:
    one, other = _features(n, 1), _features(m, 2, shift=0.3)
    directions = random_directions(20, 50, torch.Generator().manual_seed(0))
    expected = ot.sliced_wasserstein_distance(
        one.double().numpy(), other.double().numpy(), projections=directions.numpy(), p=2
    )
    assert sliced_wasserstein(one, other, directions) == pytest.approx(expected, abs=1e-6)
    assert sliced_wasserstein(other, one, directions) == pytest.approx(expected, abs=1e-6)


def test_in_one_dimension_a_shift_is_its_size() -> None:
    one = _features(30, 1, dimension=1)
    direction = torch.ones(1, 1)
    assert sliced_wasserstein(one, one + 2, direction) == pytest.approx(2, abs=1e-6)
    expected = wasserstein_distance(one[:, 0].numpy(), (one + 2)[:, 0].numpy())
    assert sliced_wasserstein(one, one + 2, direction) == pytest.approx(expected, abs=1e-6)


def test_directions_have_length_one() -> None:
    directions = random_directions(7, 30, torch.Generator().manual_seed(0))
    assert directions.norm(dim=0).numpy() == pytest.approx(np.ones(30))


def test_the_matrix_has_every_pair_and_the_scale_of_the_sources() -> None:
    sources = {"a": _features(80, 1), "b": _features(60, 2, shift=1)}
    targets = {"t": _features(50, 3, shift=3)}
    found = domain_distances(sources, targets)
    assert set(found.between) == {("a", "b"), ("a", "t"), ("b", "t")}
    assert set(found.to_sources) == {"a", "b", "t"}
    assert found.of("t", "a") == found.of("a", "t")
    assert found.nearest_source("t") == found.nearest_source("a") == "b"
    directions = random_directions(20, 200, torch.Generator().manual_seed(0))
    pooled = torch.cat([*sources.values()]).double()
    scale = float(pooled.var(dim=0, correction=0).mean().sqrt())
    expected = sliced_wasserstein(pooled, targets["t"], directions) / scale
    assert found.to_sources["t"].value == pytest.approx(expected)
    assert found.to_sources["a"] == found.of("a", "b")
    larger = domain_distances(
        {name: 100 * each for name, each in sources.items()}, {"t": 100 * targets["t"]}
    )
    assert larger.of("a", "t").value == pytest.approx(found.of("a", "t").value, rel=1e-5)


def test_distances_of_different_domains_exceed_chance() -> None:
    found = domain_distances(
        {"a": _features(80, 1), "b": _features(60, 2)}, {"t": _features(50, 3, shift=0.5)}
    )
    assert found.of("a", "b").is_chance
    assert found.of("a", "b").p_value > 0.05
    assert not found.of("a", "t").is_chance
    assert found.of("a", "t").p_value == pytest.approx(1 / 101)


def test_a_target_identical_to_a_source_is_within_chance() -> None:
    sources = {"a": _features(80, 1), "b": _features(60, 2, shift=4)}
    found = domain_distances(sources, {"t": sources["a"].clone()})
    assert found.of("a", "t").value == 0
    assert found.of("a", "t").is_chance
    assert found.of("a", "t").p_value == 1
    assert found.nearest_source("t") == "a"
    assert not found.of("b", "t").is_chance
    only = domain_distances({"a": sources["a"]}, {"t": sources["a"].clone()})
    assert only.to_sources["t"].is_chance
    assert "a" not in only.to_sources


@pytest.mark.parametrize(("n", "m"), [(100, 100), (400, 40), (30, 200)])
def test_chance_distances_are_those_of_fresh_samples(n: int, m: int) -> None:
    found = domain_distances({"a": _features(300, 1), "b": _features(300, 2)}, {})
    ratio = math.sqrt((1 / n + 1 / m) / (2 / 300))
    directions = random_directions(20, 200, torch.Generator().manual_seed(0))
    fresh = [
        sliced_wasserstein(_features(n, 10 + 2 * at), _features(m, 11 + 2 * at), directions)
        for at in range(60)
    ]
    expected = float(np.quantile(fresh, 0.95))
    assert found.of("a", "b").chance * ratio == pytest.approx(expected, rel=0.1)


def test_few_of_all_comparisons_of_like_domains_exceed_chance() -> None:
    exceeds = [
        not domain_distances(
            {"a": _features(60, 3 * at), "b": _features(40, 3 * at + 1)},
            {"t": _features(30, 3 * at + 2)},
        )
        .to_sources["t"]
        .is_chance
        for at in range(40)
    ]
    assert sum(exceeds) <= 6


def test_the_result_is_deterministic() -> None:
    sources, targets = {"a": _features(30, 1), "b": _features(21, 2)}, {"t": _features(9, 3)}
    assert domain_distances(sources, targets) == domain_distances(sources, targets)
    other = domain_distances(sources, targets, seed=1)
    assert other.of("a", "t") != domain_distances(sources, targets).of("a", "t")


def test_constant_features_have_no_scale() -> None:
    found = domain_distances({"a": torch.ones(9, 3)}, {"t": torch.ones(5, 3)})
    assert found.of("a", "t").value == pytest.approx(0, abs=1e-12)
    assert found.of("a", "t").is_chance
    assert any("constant" in note for note in found.notes)
    assert found.notes != domain_distances({"a": _features(9, 1)}, {"t": _features(5, 2)}).notes


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least two domains"):
        domain_distances({"a": _features(9, 1)}, {})
    with pytest.raises(InputError, match="t has 1 image; .* at least 4"):
        domain_distances({"a": _features(9, 1)}, {"t": _features(1, 2)})
    broken = _features(9, 2)
    broken[0, 0] = math.inf
    with pytest.raises(InputError, match="features of t are NaN or infinite in 1 of 9"):
        domain_distances({"a": _features(9, 1)}, {"t": broken})
