"""DomainBed's training augmentation on PIL images, its parameters for batches, and normalisation.

All random parameters of batches are drawn on the CPU, so they are the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

SCALE: Final = (0.7, 1.0)
RATIO: Final = (3 / 4, 4 / 3)
CROP_ATTEMPTS: Final = 10
JITTER: Final = 0.3
GRAYSCALE_PROBABILITY: Final = 0.1
_BOXES: Final = 4 * CROP_ATTEMPTS
_NUMBERS: Final = 2 + 4 + 4 + _BOXES
ROUNDING: Final = 1e-6
"""Tolerance in pixels for comparisons with whole pixels."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


@dataclass(frozen=True)
class AugmentParameters:
    """Augmentation parameters of B images; all tensors are on the CPU.

    Attributes:
        box: top, left, height and width of the crop in pixels of the resized image, (B, 4)
            float64; whole numbers if the original is square.
        flip: horizontal flip, (B,) bool.
        factors: brightness, contrast and saturation factors and hue shift in turns, (B, 4).
        order: order of these four operations, (B, 4) int64.
        grayscale: conversion to greyscale at the end, (B,) bool.
    """

    box: Tensor
    flip: Tensor
    factors: Tensor
    order: Tensor
    grayscale: Tensor

    def of(self, share: slice) -> AugmentParameters:
        """Return the parameters of a slice of the images."""
        return AugmentParameters(
            self.box[share],
            self.flip[share],
            self.factors[share],
            self.order[share],
            self.grayscale[share],
        )

    def covered(self) -> Tensor:
        """Return the whole pixels that each crop covers.

        Returns:
            first row, first column, row after the last, column after the last, (B, 4) int64.
        """
        start, length = self.box[:, :2], self.box[:, 2:]
        first = (start + ROUNDING).floor()
        after = (start + length - ROUNDING).ceil()
        return torch.cat((first, after), dim=1).long()


class _Uniform(NamedTuple):
    """Uniform random numbers in [0, 1) for the parameters of B images, float64.

    ``two`` is (B, 2), ``jitter`` (B, 4), ``boxes`` (4, B, ``CROP_ATTEMPTS``), ``order`` (B, 4).
    """

    two: Tensor
    jitter: Tensor
    boxes: Tensor
    order: Tensor


def draw_parameters(
    sizes: Tensor, image_size: int, generator: torch.Generator
) -> AugmentParameters:
    """Draw the parameters of B images.

    Args:
        sizes: width and height of the original images, in pixels, (B, 2).
        image_size: side S of the resized images, in pixels.
        generator: on the CPU.
    """
    count = len(sizes)
    shapes = (count, 2), (count, 4), (4, count, CROP_ATTEMPTS), (count, 4)
    drawn = [torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return _parameters(sizes, image_size, _Uniform(*drawn))


def parameters_of_seeds(sizes: Tensor, image_size: int, seeds: Sequence[int]) -> AugmentParameters:
    """Return the parameters of B images, each drawn from a seed of its own.

    Args:
        sizes: width and height of the original images, in pixels, (B, 2).
        image_size: side S of the resized images, in pixels.
        seeds: non-negative, (B,).
    """
    numbers = [np.random.Generator(np.random.Philox(key=seed)).random(_NUMBERS) for seed in seeds]
    two, jitter, order, boxes = torch.from_numpy(np.array(numbers)).split((2, 4, 4, _BOXES), dim=1)
    of_boxes = boxes.reshape(len(sizes), 4, CROP_ATTEMPTS).transpose(0, 1)
    return _parameters(sizes, image_size, _Uniform(two, jitter, of_boxes, order))


def _parameters(sizes: Tensor, image_size: int, uniform: _Uniform) -> AugmentParameters:
    factors = JITTER * (uniform.jitter * 2 - 1)
    factors[:, :HUE] += 1
    return AugmentParameters(
        box=_boxes(sizes, image_size, uniform.boxes),
        flip=uniform.two[:, 0] < 0.5,
        factors=factors.float(),
        order=uniform.order.argsort(dim=1),
        grayscale=uniform.two[:, 1] < GRAYSCALE_PROBABILITY,
    )


def _boxes(sizes: Tensor, image_size: int, uniform: Tensor) -> Tensor:
    """Return crops of the originals like ``RandomResizedCrop.get_params``, in resized coordinates.

    Crops of square originals are in whole pixels of the resized image.
    """
    is_square = sizes[:, :1] == sizes[:, 1:]
    frame = torch.where(is_square, image_size, sizes).double()
    crops = _crops(frame[:, :1], frame[:, 1:], uniform)
    boxes = crops * image_size / frame.flip(1).repeat(1, 2)
    return boxes if is_square.all() else _align(boxes, image_size)


def _crops(width: Tensor, height: Tensor, uniform: Tensor) -> Tensor:
    """Return the first of ten boxes that fits, or else a central one of the nearest ratio.

    Args:
        width: of the images, (B, 1) float64.
        height: of the images, (B, 1) float64.
        uniform: random numbers, see :class:`_Uniform`.

    Returns:
        top, left, height and width, (B, 4), whole numbers.
    """
    count = len(width)
    area = (SCALE[0] + (SCALE[1] - SCALE[0]) * uniform[0]) * (width * height)
    log_low, log_high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = (log_low + (log_high - log_low) * uniform[1]).exp()
    crop_width, crop_height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (crop_width > 0) & (crop_width <= width) & (crop_height > 0) & (crop_height <= height)
    top = ((height - crop_height + 1) * uniform[2]).floor()
    left = ((width - crop_width + 1) * uniform[3]).floor()
    boxes = torch.stack((top, left, crop_height, crop_width), dim=2)
    chosen = boxes[torch.arange(count), fits.int().argmax(dim=1)]
    has_fit = fits.any(dim=1, keepdim=True)
    return chosen if has_fit.all() else torch.where(has_fit, chosen, _central_crops(width, height))


def _central_crops(width: Tensor, height: Tensor) -> Tensor:
    """Return the largest central boxes with a ratio within ``RATIO``, (B, 4)."""
    crop_width = torch.minimum(width, (height * RATIO[1]).round())
    crop_height = torch.minimum(height, (width / RATIO[0]).round())
    top, left = ((height - crop_height) / 2).floor(), ((width - crop_width) / 2).floor()
    return torch.cat((top, left, crop_height, crop_width), dim=1)


def _align(boxes: Tensor, image_size: int) -> Tensor:
    """Move crops by up to half an output pixel, so that they start at a resized pixel.

    A crop is enlarged to S pixels. When the whole pixels that cover it are enlarged by the same
    factor, the crop starts at a whole output pixel. Its size does not change, except that it is at
    least one pixel.

    Args:
        boxes: top, left, height and width, (B, 4).
        image_size: side S of the image and of the result.
    """
    start, length = boxes[:, :2], boxes[:, 2:].clamp_min(1)
    step = length / image_size
    first = (start + ROUNDING).floor()
    room = (image_size - length - first).clamp_max(1)
    steps = torch.minimum(((start - first) / step).round(), (room / step + ROUNDING).floor())
    return torch.cat((first + steps * step, length), dim=1)


class PilDraw(NamedTuple):
    """Random parameters of one image: crop box, flip, jitter (order, then factors), greyscale."""

    box: tuple[int, int, int, int]
    flip: bool
    jitter: tuple[Tensor, float, float, float, float]
    grayscale: bool


class PilTransform:
    """DomainBed's training transform on one image, split into random draws and their application.

    ``draw`` uses torch's global generator in the same order as torchvision's ``RandomResizedCrop``,
    ``RandomHorizontalFlip``, ``ColorJitter`` and ``RandomGrayscale``; ``apply`` is deterministic,
    so that threads can run it.
    """

    def __init__(self, image_size: int) -> None:
        self._image_size = image_size
        self._jitter: Final = transforms.ColorJitter(JITTER, JITTER, JITTER, JITTER)

    def draw(self, image: Image.Image) -> PilDraw:
        """Draw the parameters of an image."""
        jitter = self._jitter
        return PilDraw(
            box=transforms.RandomResizedCrop.get_params(image, list(SCALE), list(RATIO)),
            flip=bool(torch.rand(1) < 0.5),
            jitter=jitter.get_params(
                jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
            ),
            grayscale=bool(torch.rand(1) < GRAYSCALE_PROBABILITY),
        )

    def apply(self, image: Image.Image, drawn: PilDraw) -> Tensor:
        """Return the transformed image, (S, S, 3) uint8."""
        size = [self._image_size, self._image_size]
        image = functional.resized_crop(image, *drawn.box, size)
        if drawn.flip:
            image = functional.hflip(image)
        order, *factors = drawn.jitter
        adjust = (
            functional.adjust_brightness,
            functional.adjust_contrast,
            functional.adjust_saturation,
            functional.adjust_hue,
        )
        for number in order.tolist():
            image = adjust[number](image, factors[number])
        if drawn.grayscale:
            image = functional.rgb_to_grayscale(image, num_output_channels=3)
        pixels: Tensor = functional.pil_to_tensor(image)
        return pixels.permute(1, 2, 0)


def network_input(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale pixels to [0, 1] and normalise each channel, as ``ToTensor`` and ``Normalize`` do.

    Images were already resized when cached.

    Args:
        images: (B, S, S, 3) uint8.
        mean: mean of each channel.
        std: standard deviation of each channel.

    Returns:
        (B, 3, S, S) float32 on the images' device, channels last in memory.
    """
    count, size, _, channels = images.shape
    rows = images.reshape(count, size, size * channels).to(torch.float32).div_(255)
    for operate, values in ((rows.sub_, mean), (rows.div_, std)):
        operate(torch.tensor(values, device=images.device).repeat(size))
    return rows.view(count, size, size, channels).permute(0, 3, 1, 2)
