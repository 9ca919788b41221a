"""Batched augmentation against torchvision's, image by image."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from engine.data import augment_batch, load_data
from engine.data.augment import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    AugmentParameters,
    augment_with,
    draw_parameters,
)
from engine.protocol import resolve_spec

SIZE = 64
GREY_LEVEL = 1 / 255


@pytest.fixture(scope="module")
def images(small_emoji: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """24 emoji, six of each style, and 24 images of noise: (48, 64, 64, 3) uint8."""
    spec = resolve_spec({"data_dir": str(small_emoji), "target": "noto", "image_size": SIZE})
    data = load_data(spec, tmp_path_factory.mktemp("cache"))
    emoji = [domain.images(domain.in_indices[:6]) for domain in data.domains]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (24, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
    return torch.cat([*emoji, noise])


def untouched(count: int) -> AugmentParameters:
    """Return parameters that change nothing."""
    return AugmentParameters(
        box=torch.tensor([0, 0, SIZE, SIZE]).repeat(count, 1),
        flip=torch.zeros(count, dtype=torch.bool),
        factors=torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(count, 1),
        order=torch.arange(4).repeat(count, 1),
        grayscale=torch.zeros(count, dtype=torch.bool),
    )


def planar(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255


def adjust(image: Tensor, operation: int, factor: float) -> Tensor:
    adjustments = {
        BRIGHTNESS: functional.adjust_brightness,
        CONTRAST: functional.adjust_contrast,
        SATURATION: functional.adjust_saturation,
        HUE: functional.adjust_hue,
    }
    adjusted: Tensor = adjustments[operation](image, factor)
    return adjusted


def furthest(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def test_parameters_that_change_nothing_change_nothing(images: Tensor) -> None:
    assert furthest(augment_with(images, untouched(48)), planar(images)) < 1e-5


@pytest.mark.parametrize("operation", [BRIGHTNESS, CONTRAST, SATURATION, HUE])
def test_each_colour_operation_is_torchvisions(images: Tensor, operation: int) -> None:
    parameters = untouched(48)
    extreme = (-0.3, 0.3) if operation == HUE else (0.7, 1.3)
    factors = torch.linspace(*extreme, 48)
    parameters.factors[:, operation] = factors
    expected = torch.stack(
        [
            adjust(image, operation, float(factor))
            for image, factor in zip(planar(images), factors, strict=True)
        ]
    )
    found = augment_with(images, parameters)
    assert furthest(found, expected) < 0.01 * GREY_LEVEL
    assert furthest(found, planar(images)) > 10 * GREY_LEVEL


def test_every_order_of_the_operations_is_kept(images: Tensor) -> None:
    parameters = untouched(48)
    parameters.factors[:] = torch.tensor([1.3, 1.25, 1.3, 0.2])
    parameters.order[:] = torch.tensor(list(permutations(range(4))) * 2)
    found = augment_with(images, parameters)
    for image, order, result in zip(planar(images), parameters.order, found, strict=True):
        expected = image
        for operation in order.tolist():
            expected = adjust(expected, operation, float(parameters.factors[0, operation]))
        assert furthest(result, expected) < 0.01 * GREY_LEVEL


def test_grey_is_torchvisions_and_only_where_drawn(images: Tensor) -> None:
    parameters = untouched(48)
    parameters.grayscale[::3] = True
    found = augment_with(images, parameters)
    expected = planar(images)
    expected[::3] = functional.rgb_to_grayscale(expected[::3], num_output_channels=3)
    assert furthest(found, expected) < 0.01 * GREY_LEVEL


def test_crops_and_mirrors_are_those_of_pil(images: Tensor) -> None:
    parameters = draw_parameters(48, SIZE, torch.Generator().manual_seed(1))
    plain = untouched(48)
    found = augment_with(
        images,
        AugmentParameters(
            parameters.box, parameters.flip, plain.factors, plain.order, plain.grayscale
        ),
    )
    assert 10 < int(parameters.flip.sum()) < 38
    for image, box, flip, result in zip(
        images, parameters.box, parameters.flip, found, strict=True
    ):
        pil = functional.to_pil_image(image.permute(2, 0, 1))
        pil = functional.resized_crop(pil, *box.tolist(), [SIZE, SIZE])
        expected = functional.to_tensor(functional.hflip(pil) if flip else pil)
        assert furthest(result, expected) < 1.6 * GREY_LEVEL


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


def test_pixels_have_the_statistics_of_torchvisions_transforms(images: Tensor) -> None:
    repeats = 600
    compose = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE, scale=(0.7, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.3, 0.3, 0.3, 0.3),
            transforms.RandomGrayscale(),
            transforms.ToTensor(),
        ]
    )
    image = images[2]
    generator = torch.Generator().manual_seed(5)
    found = augment_batch(image.expand(repeats, -1, -1, -1), generator)
    pil = functional.to_pil_image(image.permute(2, 0, 1))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(6)
        expected = torch.stack([compose(pil) for _ in range(repeats)])
    means = (found.mean(dim=(2, 3)), expected.mean(dim=(2, 3)))
    contrasts = (found.std(dim=(2, 3)), expected.std(dim=(2, 3)))
    for one, other in (means, contrasts):
        standard_error = ((one.var(dim=0) + other.var(dim=0)) / repeats).sqrt()
        difference = (one.mean(dim=0) - other.mean(dim=0)).abs()
        assert bool((difference < 4 * standard_error + 0.5 * GREY_LEVEL).all())
        assert float((one.std(dim=0) / other.std(dim=0) - 1).abs().max()) < 0.15


def test_the_generator_decides_everything(images: Tensor) -> None:
    def augmented(seed: int) -> Tensor:
        return augment_batch(images, torch.Generator().manual_seed(seed))

    global_state = torch.get_rng_state()
    assert torch.equal(augmented(7), augmented(7))
    assert not torch.equal(augmented(7), augmented(8))
    assert torch.equal(torch.get_rng_state(), global_state)


def test_images_are_augmented_apart_and_stay_in_range(images: Tensor) -> None:
    before = images.clone()
    found = augment_batch(images[:1].expand(32, -1, -1, -1), torch.Generator().manual_seed(9))
    assert len({tuple(image.flatten()[::97].tolist()) for image in found}) == 32
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    assert torch.equal(images, before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_augments_as_the_processor_does(images: Tensor) -> None:
    parameters = draw_parameters(48, SIZE, torch.Generator().manual_seed(10))
    on_gpu = augment_with(images.cuda(), parameters)
    assert on_gpu.is_cuda
    torch.backends.cuda.matmul.allow_tf32 = False
    assert furthest(on_gpu.cpu(), augment_with(images, parameters)) < 0.1 * GREY_LEVEL
