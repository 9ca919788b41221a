"""Augmentation of whole batches, as tensors and in 8 bits, against torchvision's on PIL images.

In 8 bits both round after every operation, not always to the same side; and a turn of the hue goes
through 8-bit hue and saturation in both, whose rounding moves saturated colours by several levels.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from engine.data.augment import augment_batch, augment_pixels, augment_tensors
from engine.data.transforms import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    AugmentParameters,
    draw_parameters,
)
from tests.engine.data.augment.reference import (
    EXTREMES,
    GREY_LEVEL,
    SIZE,
    adjust,
    furthest,
    planar,
    sizes,
    square,
    to_pil,
    untouched,
)


def test_pixels_have_the_statistics_of_torchvisions_transforms(
    images: Tensor, threads: ThreadPoolExecutor
) -> None:
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
    batch = image.expand(repeats, -1, -1, -1)
    found = planar(augment_batch(batch, square(repeats), generator, threads))
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


def test_the_generator_decides_everything(images: Tensor, threads: ThreadPoolExecutor) -> None:
    def augmented(seed: int) -> Tensor:
        return augment_batch(images, square(48), torch.Generator().manual_seed(seed), threads)

    global_state = torch.get_rng_state()
    assert torch.equal(augmented(7), augmented(7))
    assert not torch.equal(augmented(7), augmented(8))
    assert torch.equal(torch.get_rng_state(), global_state)


def test_images_are_augmented_apart_and_the_originals_stay(
    images: Tensor, threads: ThreadPoolExecutor
) -> None:
    before = images.clone()
    found = augment_batch(
        images[:1].expand(32, -1, -1, -1), square(32), torch.Generator().manual_seed(9), threads
    )
    assert len({tuple(image.flatten()[::97].tolist()) for image in found}) == 32
    assert torch.equal(images, before)


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
