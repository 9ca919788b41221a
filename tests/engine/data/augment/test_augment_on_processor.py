"""Augmentation in 8 bits against what torchvision does to PIL images.

Both round after every operation, not always to the same side; and a turn of the hue goes through
8-bit hue and saturation in both, whose rounding moves saturated colours by several levels.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional

from engine.data.augment import augment_pixels
from engine.data.transforms import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    AugmentParameters,
    draw_parameters,
)
from tests.engine.data.augment.reference import EXTREMES, SIZE, adjust, square, to_pil, untouched


def pil_levels(images: list[Image.Image]) -> Tensor:
    return torch.stack([functional.pil_to_tensor(image).permute(1, 2, 0) for image in images]).int()


def levels(images: Tensor, parameters: AugmentParameters, threads: ThreadPoolExecutor) -> Tensor:
    return torch.from_numpy(augment_pixels(images.numpy(), parameters, threads)).int()


def assert_close(found: Tensor, expected: Tensor, *, typical: float, largest: int) -> None:
    difference = (found - expected).abs()
    assert float(difference.float().mean()) < typical
    assert int(difference.max()) <= largest


@pytest.mark.parametrize("operation", [BRIGHTNESS, CONTRAST, SATURATION, HUE])
def test_each_operation_is_that_of_pil(
    images: Tensor, threads: ThreadPoolExecutor, operation: int
) -> None:
    parameters = untouched(48)
    factors = torch.linspace(*EXTREMES[operation], 48)
    parameters.factors[:, operation] = factors
    # The hue is turned by nothing in the others, which goes through HSV all the same.
    expected = pil_levels(
        [
            adjust(adjust(to_pil(image), operation, float(factor)), HUE, 0.0)
            if operation != HUE
            else adjust(to_pil(image), HUE, float(factor))
            for image, factor in zip(images, factors, strict=True)
        ]
    )
    found = levels(images, parameters, threads)
    assert_close(found, expected, typical=2.0, largest=24)
    bias = 0.25 if operation == HUE else 0.1  # 8-bit hues are rounded down
    assert abs(float((found - expected).float().mean())) < bias
    assert int((expected - images.int()).abs().max()) > 30


def test_a_whole_augmentation_is_that_of_pil(images: Tensor, threads: ThreadPoolExecutor) -> None:
    parameters = draw_parameters(square(48), SIZE, torch.Generator().manual_seed(1))
    parameters.grayscale[::10] = True
    expected = []
    for index, image in enumerate(images):
        pil = functional.resized_crop(to_pil(image), *parameters.box[index].tolist(), [SIZE, SIZE])
        pil = functional.hflip(pil) if parameters.flip[index] else pil
        for operation in parameters.order[index].tolist():
            pil = adjust(pil, operation, float(parameters.factors[index, operation]))
        if parameters.grayscale[index]:
            pil = functional.rgb_to_grayscale(pil, num_output_channels=3)
        expected.append(pil)
    found = levels(images, parameters, threads)
    assert_close(found, pil_levels(expected), typical=2.0, largest=32)
    assert abs(float((found - pil_levels(expected)).float().mean())) < 0.3


def test_crops_and_grey_are_those_of_pil_to_a_level(
    images: Tensor, threads: ThreadPoolExecutor
) -> None:
    """Grey images have no hue: what the conversion to HSV rounds does not show."""
    grey = pil_levels([to_pil(image).convert("L").convert("RGB") for image in images])
    drawn = draw_parameters(square(48), SIZE, torch.Generator().manual_seed(1))
    plain = untouched(48)
    parameters = AugmentParameters(
        drawn.box, drawn.flip, plain.factors, plain.order, plain.grayscale
    )
    expected = []
    for image, box, flip in zip(grey, drawn.box, drawn.flip, strict=True):
        pil = functional.resized_crop(to_pil(image.to(torch.uint8)), *box.tolist(), [SIZE, SIZE])
        expected.append(functional.hflip(pil) if flip else pil)
    found = levels(grey.to(torch.uint8), parameters, threads)
    assert_close(found, pil_levels(expected), typical=0.5, largest=2)
