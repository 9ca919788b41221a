"""What is drawn, against what torchvision draws."""

from __future__ import annotations

import math

import torch
from torchvision import transforms

from engine.data.augment import draw_parameters
from tests.engine.data.augment.reference import SIZE


def test_drawn_crops_are_distributed_as_torchvisions() -> None:
    count = 6000
    boxes = draw_parameters(count, SIZE, torch.Generator().manual_seed(2)).box.double()
    blank = torch.zeros(3, SIZE, SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        drawn = [
            transforms.RandomResizedCrop.get_params(blank, [0.7, 1.0], [3 / 4, 4 / 3])
            for _ in range(count)
        ]
    expected = torch.tensor(drawn, dtype=torch.float64)
    top, left, height, width = boxes.unbind(dim=1)
    assert bool(((top >= 0) & (left >= 0) & (height > 0) & (width > 0)).all())
    assert bool(((top + height <= SIZE) & (left + width <= SIZE)).all())
    for found, other in ((boxes, expected), (boxes.square(), expected.square())):
        standard_error = (found.var(dim=0) / count + other.var(dim=0) / count).sqrt()
        assert bool(((found.mean(dim=0) - other.mean(dim=0)).abs() < 4 * standard_error).all())
    found_area, expected_area = (b[:, 2] * b[:, 3] for b in (boxes, expected))
    assert abs(float(found_area.mean() - expected_area.mean())) < 0.005 * SIZE**2


def test_drawn_colours_are_distributed_as_said() -> None:
    count = 20_000
    drawn = draw_parameters(count, SIZE, torch.Generator().manual_seed(4))
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
