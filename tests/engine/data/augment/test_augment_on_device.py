"""Augmentation of whole batches of tensors against torchvision's, image by image."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional

from engine.data.augment import augment_tensors
from engine.data.transforms import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    AugmentParameters,
    draw_parameters,
)
from tests.engine.data.augment.reference import (
    GREY_LEVEL,
    SIZE,
    adjust,
    furthest,
    planar,
    sizes,
    square,
    untouched,
)


def test_parameters_that_change_nothing_change_nothing(images: Tensor) -> None:
    assert furthest(augment_tensors(images, untouched(48)), planar(images)) < 1e-5


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
    found = augment_tensors(images, parameters)
    assert furthest(found, expected) < 0.01 * GREY_LEVEL
    assert furthest(found, planar(images)) > 10 * GREY_LEVEL


def test_every_order_of_the_operations_is_kept(images: Tensor) -> None:
    parameters = untouched(48)
    parameters.factors[:] = torch.tensor([1.3, 1.25, 1.3, 0.2])
    parameters.order[:] = torch.tensor(list(permutations(range(4))) * 2)
    found = augment_tensors(images, parameters)
    for image, order, result in zip(planar(images), parameters.order, found, strict=True):
        expected = image
        for operation in order.tolist():
            expected = adjust(expected, operation, float(parameters.factors[0, operation]))
        assert furthest(result, expected) < 0.01 * GREY_LEVEL


def test_grey_is_torchvisions_and_only_where_drawn(images: Tensor) -> None:
    parameters = untouched(48)
    parameters.grayscale[::3] = True
    found = augment_tensors(images, parameters)
    expected = planar(images)
    expected[::3] = functional.rgb_to_grayscale(expected[::3], num_output_channels=3)
    assert furthest(found, expected) < 0.01 * GREY_LEVEL


def test_crops_and_mirrors_are_those_of_pil(images: Tensor) -> None:
    parameters = draw_parameters(square(48), SIZE, torch.Generator().manual_seed(1))
    plain = untouched(48)
    found = augment_tensors(
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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_augments_as_the_processor_does(images: Tensor) -> None:
    originals = torch.cat([square(24), sizes(12, 640, 480), sizes(12, 500, 125)])
    parameters = draw_parameters(originals, SIZE, torch.Generator().manual_seed(10))
    on_gpu = augment_tensors(images.cuda(), parameters)
    assert on_gpu.is_cuda
    torch.backends.cuda.matmul.allow_tf32 = False
    assert furthest(on_gpu.cpu(), augment_tensors(images, parameters)) < 0.1 * GREY_LEVEL
