"""What is drawn, against what torchvision draws."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision import transforms

from engine.data.transforms import draw_parameters
from tests.engine.data.augment.reference import SIZE, sizes, square

COUNT = 3000
DISTINCT = 1e-6
"""Fewer draws than one in so many differ as much, if both come from one distribution."""


def torchvisions(width: int, height: int, count: int = COUNT) -> Tensor:
    """Draw crops with torchvision: top, left, height, width in pixels of the original, (B, 4)."""
    blank = torch.zeros(1, 1, 1).expand(1, height, width)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        drawn = [
            transforms.RandomResizedCrop.get_params(blank, [0.7, 1.0], [3 / 4, 4 / 3])
            for _ in range(count)
        ]
    return torch.tensor(drawn, dtype=torch.float64)


def ours(width: int, height: int, drawn_for: Tensor, image_size: int = SIZE) -> Tensor:
    """Draw crops of squeezed images, and return them in pixels of the original, (B, 4)."""
    boxes = draw_parameters(drawn_for, image_size, torch.Generator().manual_seed(2)).box
    return boxes * torch.tensor([height, width, height, width]) / image_size


def shapes(boxes: Tensor, width: int, height: int) -> dict[str, Tensor]:
    """Return share of the area and ratio of crops, but for errors of calculation."""
    area = boxes[:, 2] * boxes[:, 3] / (width * height)
    return {
        "area": area.round(decimals=6),
        "ratio": (boxes[:, 3] / boxes[:, 2]).round(decimals=6),
    }


def is_distributed_as(found: Tensor, expected: Tensor, tolerance: float = 0.0) -> bool:
    """Say whether values could be of one distribution, moved by the tolerance at most."""
    below = ks_2samp(found - tolerance, expected, alternative="less")
    above = ks_2samp(found + tolerance, expected, alternative="greater")
    return min(float(below.pvalue), float(above.pvalue)) > 0.001


@pytest.mark.parametrize(
    ("width", "height"),
    [(640, 480), (480, 640), (640, 360), (500, 125), (100, 1000), (SIZE, SIZE)],
)
def test_crops_are_distributed_as_torchvisions_of_the_original(width: int, height: int) -> None:
    theirs = torchvisions(width, height)
    found = ours(width, height, sizes(COUNT, width, height))
    for name, expected in shapes(theirs, width, height).items():
        assert is_distributed_as(shapes(found, width, height)[name], expected), name
    for start, side in ((0, height), (1, width)):
        half_a_pixel = 0.0 if width == height else 0.5 * side / SIZE
        assert is_distributed_as(found[:, start], theirs[:, start], half_a_pixel)
        standard_error = (found[:, start].var() + theirs[:, start].var()).div(COUNT).sqrt()
        off = float((found[:, start] - theirs[:, start]).mean().abs())
        is_central = float(theirs[:, start].std()) == 0  # moved alike, not to both sides
        assert off < (half_a_pixel if is_central else 4 * float(standard_error)) + 1e-6


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (480, 640), (640, 360), (500, 125), (100, 1000)]
)
def test_crops_drawn_from_the_squeezed_image_would_be_others(width: int, height: int) -> None:
    """Otherwise the comparison with torchvision would prove nothing."""
    expected = shapes(torchvisions(width, height), width, height)
    found = shapes(ours(width, height, square(COUNT)), width, height)
    assert ks_2samp(found["ratio"], expected["ratio"]).pvalue < DISTINCT


@pytest.mark.parametrize(
    ("width", "height"),
    [(500, 125), (125, 500), (100, 1000), (1, 50), (7, 300), (1001, 3), (333, 777), (9000, 20)],
)
@pytest.mark.parametrize("image_size", [32, 224])
def test_images_that_no_crop_fits_in_are_cut_in_the_middle_as_by_torchvision(
    width: int, height: int, image_size: int
) -> None:
    (expected,) = torchvisions(width, height, 1)
    (found,) = ours(width, height, sizes(1, width, height), image_size)
    a_pixel = torch.tensor([height, width]) / image_size  # narrower crops are one wide
    assert torch.allclose(found[2:], torch.maximum(expected[2:], a_pixel))
    off = (found[:2] - expected[:2]).abs()
    assert bool((off <= 0.5 * found[2:] / image_size + (found[2:] - expected[2:])).all())


@pytest.mark.parametrize("image_size", [1, 2, 32, 224])
def test_crops_are_within_the_image_whatever_its_size(image_size: int) -> None:
    generator = torch.Generator().manual_seed(5)
    any_size = torch.rand(4000, 2, generator=generator).mul(9).exp2().mul(20).long()
    any_size[:1000] = torch.randint(1, 6, (1000, 2), generator=generator)
    parameters = draw_parameters(any_size, image_size, generator)
    start, length = parameters.box[:, :2], parameters.box[:, 2:]
    assert float(start.min()) >= 0
    assert float(length.min()) >= 1
    assert float((start + length).max()) <= image_size + 1e-6
    first, after = parameters.covered()[:, :2], parameters.covered()[:, 2:]
    assert int(first.min()) >= 0
    assert int(after.max()) <= image_size
    steps = (start - first) * image_size / length
    assert float((steps - steps.round()).abs().max()) < 1e-3


def test_what_is_drawn_for_square_images_never_changes() -> None:
    """Or runs on square images could not be repeated."""
    for side in (SIZE, 500):
        generator = torch.Generator().manual_seed(1)
        drawn = draw_parameters(square(256, side), SIZE, generator)
        assert drawn.box[:3].tolist() == [[11, 0, 51, 63], [7, 3, 52, 60], [2, 0, 57, 60]]
        weights = torch.arange(1, 257)[:, None]
        assert (drawn.box * weights).sum(dim=0).tolist() == [104849, 116481, 1904373, 1873763]
        assert float(torch.rand(1, generator=generator)) == pytest.approx(0.6167, abs=1e-4)


def test_an_images_size_changes_only_its_own_crop() -> None:
    plain = draw_parameters(square(9), SIZE, torch.Generator().manual_seed(1))
    mixed_sizes = square(9)
    mixed_sizes[4] = torch.tensor([640, 480])
    generator = torch.Generator().manual_seed(1)
    mixed = draw_parameters(mixed_sizes, SIZE, generator)
    assert (plain.box != mixed.box).any(dim=1).nonzero().flatten().tolist() == [4]
    for name in ("flip", "factors", "order", "grayscale"):
        assert torch.equal(getattr(plain, name), getattr(mixed, name))


def test_drawn_colours_are_distributed_as_said() -> None:
    count = 20_000
    drawn = draw_parameters(square(count), SIZE, torch.Generator().manual_seed(4))
    assert abs(float(drawn.flip.double().mean()) - 0.5) < 4 * 0.5 / math.sqrt(count)
    assert abs(float(drawn.grayscale.double().mean()) - 0.1) < 4 * 0.3 / math.sqrt(count)
    centres = torch.tensor([1.0, 1.0, 1.0, 0.0])
    deviations = drawn.factors - centres
    assert float(deviations.abs().max()) <= 0.3 + 1e-6
    assert float(deviations.std(dim=0).sub(0.6 / math.sqrt(12)).abs().max()) < 0.003
    assert float(deviations.mean(dim=0).abs().max()) < 0.006
    codes = (drawn.order * torch.tensor([64, 16, 4, 1])).sum(dim=1)
    _, frequencies = codes.unique(return_counts=True)
    assert len(frequencies) == 24
    assert float((frequencies / count - 1 / 24).abs().max()) < 0.006
    together = torch.cat([drawn.factors, drawn.flip[:, None], drawn.grayscale[:, None]], dim=1)
    correlations = torch.corrcoef(together.T.double()) - torch.eye(6)
    assert float(correlations.abs().max()) < 0.03
