"""Images that are not square: what a network sees, against torchvision on the originals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional

from engine.data.augment import augment_batch, augment_pixels, augment_tensors
from engine.data.transforms import AugmentParameters, PilTransform, draw_parameters
from engine.datasets.cache import resize
from tests.engine.data.augment.reference import (
    GREY_LEVEL,
    SIZE,
    furthest,
    planar,
    sizes,
    square,
    to_pil,
    untouched,
)

REPEATS = 400
SHAPES = [(640, 480), (480, 640), (500, 125), (100, 1000)]


def photograph(width: int, height: int) -> Image.Image:
    """Return an image of soft colours without a direction, finer than S pixels a side nowhere."""
    noise = np.random.default_rng(0).normal(size=(height, width, 3))
    soft = cv2.GaussianBlur(noise, (0, 0), sigmaX=max(width, height) / 24)
    soft = 128 + 45 * (soft - soft.mean()) / soft.std()
    return Image.fromarray(soft.clip(0, 255).astype(np.uint8))


def squeezed(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(resize(image, SIZE)))


def statistics(images: Tensor) -> Tensor:
    """Return mean, deviation, the steps across by the deviation, and by the steps down, (4,).

    Brightness and contrast, which are drawn apart, change the first two only.
    """
    pixels = planar(images)
    deviation = pixels.std(dim=(1, 2, 3))
    across, down = (pixels.diff(dim=dim).square().mean(dim=(1, 2, 3)).sqrt() for dim in (3, 2))
    return torch.stack(
        [pixels.mean(), deviation.mean(), (across / deviation).mean(), (across / down).mean()]
    )


def by_pil(image: Image.Image) -> Tensor:
    transform = PilTransform(SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(6)
        return torch.stack([transform.apply(image, transform.draw(image)) for _ in range(REPEATS)])


def by_batch(image: Image.Image, originals: Tensor, threads: ThreadPoolExecutor) -> Tensor:
    images = squeezed(image).expand(REPEATS, -1, -1, -1)
    return augment_batch(images, originals, torch.Generator().manual_seed(5), threads)


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_pixels_have_the_statistics_of_the_pil_transform(
    width: int, height: int, threads: ThreadPoolExecutor
) -> None:
    """Of an image as soft as this; one of finer detail is blurred by being resized twice."""
    image = photograph(width, height)
    expected = statistics(by_pil(image))
    tolerance = torch.tensor([0.025, 0.012, 0.05 * expected[2], 0.04 * expected[3]])
    found = statistics(by_batch(image, sizes(REPEATS, width, height), threads))
    assert bool(((found - expected).abs() < tolerance).all())
    of_squeezed = statistics(by_batch(image, square(REPEATS), threads))
    assert float((of_squeezed - expected).abs()[3]) > 2 * float(tolerance[3])


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_crops_show_what_torchvision_cuts_out_of_the_original(
    width: int, height: int, threads: ThreadPoolExecutor
) -> None:
    image = photograph(width, height).convert("L").convert("RGB")  # no hue, which is rounded
    drawn = draw_parameters(sizes(24, width, height), SIZE, torch.Generator().manual_seed(1))
    parameters = only_cropped(drawn)
    found = augment_pixels(squeezed(image).expand(24, -1, -1, -1).numpy(), parameters, threads)
    to_original = torch.tensor([height, width, height, width]) / SIZE
    for result, box in zip(found, (drawn.box * to_original).round().int().tolist(), strict=True):
        expected = np.asarray(functional.resized_crop(image, *box, [SIZE, SIZE]))
        assert np.abs(result.astype(int) - expected).mean() < 2.5


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_a_device_and_the_processor_cut_the_same_crops(
    images: Tensor, width: int, height: int, threads: ThreadPoolExecutor
) -> None:
    grey = torch.stack([functional.pil_to_tensor(to_pil(i).convert("L")) for i in images])
    grey = grey.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()
    drawn = draw_parameters(sizes(48, width, height), SIZE, torch.Generator().manual_seed(1))
    parameters = only_cropped(drawn)
    on_processor = torch.from_numpy(augment_pixels(grey.numpy(), parameters, threads))
    assert furthest(augment_tensors(grey, parameters), planar(on_processor)) < 1.6 * GREY_LEVEL


def test_crops_of_square_images_are_whole_pixels_resized(
    images: Tensor, threads: ThreadPoolExecutor
) -> None:
    """To the bit, so that runs on square images can be repeated."""
    drawn = draw_parameters(square(48, 500), SIZE, torch.Generator().manual_seed(1))
    resized = np.empty_like(images.numpy())
    for index, (top, left, height, width) in enumerate(drawn.box.long().tolist()):
        cut = images[index].numpy()[top : top + height, left : left + width]
        resized[index] = cv2.resize(cut, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    plain = untouched(48)
    cropped = AugmentParameters(drawn.box, plain.flip, plain.factors, plain.order, plain.grayscale)
    found = augment_pixels(images.numpy(), cropped, threads)
    assert np.array_equal(found, augment_pixels(resized, plain, threads))


def only_cropped(drawn: AugmentParameters) -> AugmentParameters:
    plain = untouched(len(drawn.box))
    return AugmentParameters(drawn.box, plain.flip, plain.factors, plain.order, plain.grayscale)
