"""How often the images of a domain are drawn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from engine.data import Sampler

LABELS = torch.tensor([0] * 60 + [2] * 30 + [5] * 10)[torch.arange(100) * 37 % 100]
"""100 images, mixed: 60, 30 and 10 of three classes; the domain has none of the others."""


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def chi_squared(counts: Tensor, expected: Tensor) -> float:
    """Return how far from one their deviations are, in standard deviations of the statistic."""
    freedom = len(counts) - 1
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return (statistic - freedom) / math.sqrt(2 * freedom)


def test_uniform_draws_are_the_random_numbers_of_earlier_versions() -> None:
    drawn, expected = generator(), generator()
    sampler = Sampler(LABELS, "uniform")
    for _ in range(3):
        assert (
            sampler.draw(7, drawn).tolist() == torch.randint(100, (7,), generator=expected).tolist()
        )
    assert torch.equal(drawn.get_state(), expected.get_state())


def test_balanced_draws_have_each_class_and_each_of_its_images_equally_often() -> None:
    drawn = Sampler(LABELS, "balanced").draw(60_000, generator())
    classes = torch.bincount(LABELS[drawn], minlength=6)
    assert classes[[1, 3, 4]].sum() == 0, "no image of a class that is missing"
    assert chi_squared(classes[[0, 2, 5]], torch.full((3,), 20_000.0)) < 4
    images = torch.bincount(drawn, minlength=100)
    for label in (0, 2, 5):
        of_class = images[label == LABELS]
        expected = torch.full_like(of_class, 20_000, dtype=torch.float64) / len(of_class)
        assert abs(chi_squared(of_class, expected)) < 4


def test_uniform_draws_have_each_image_equally_often() -> None:
    images = torch.bincount(Sampler(LABELS, "uniform").draw(60_000, generator()), minlength=100)
    assert abs(chi_squared(images, torch.full((100,), 600.0))) < 4


@pytest.mark.parametrize("labels", [torch.tensor([3]), torch.tensor([3, 3]), torch.tensor([1, 3])])
def test_few_images_are_drawn_from(labels: Tensor) -> None:
    drawn = Sampler(labels, "balanced").draw(200, generator())
    assert sorted(set(drawn.tolist())) == list(range(len(labels)))


def test_balanced_draws_continue_from_the_generators_state() -> None:
    sampler, ours = Sampler(LABELS, "balanced"), generator()
    sampler.draw(9, ours)
    resumed = torch.Generator()
    resumed.set_state(ours.get_state())
    again = Sampler(LABELS, "balanced").draw(9, resumed)
    assert again.tolist() == sampler.draw(9, ours).tolist()
