"""DomainBed's training augmentation for whole batches, with separate parameters for each image.

Parameters are distributed like those of torchvision's ``RandomResizedCrop(S, scale=(0.7, 1))``,
``RandomHorizontalFlip()``, ``ColorJitter(0.3, 0.3, 0.3, 0.3)`` and ``RandomGrayscale(0.1)`` on the
original images; crop offsets differ by at most half an output pixel. Pixels are close but not equal
to the result on PIL images: crops are enlarged from images already resized to S × S, which blurs
fine detail, and colours are rounded differently. All parameters are drawn on the CPU from one
generator, so the sequence is the same on every device.

On GPUs (``augment_tensors``) values are not truncated to 8 bits between operations as in PIL, so
the result is brighter than PIL's by up to 1.5 of 255 levels on average.

On the CPU (``augment_pixels``) OpenCV works in 8 bits, like PIL, and releases the GIL, so threads
can share a batch. With the same parameters, levels (0 … 255) differ from PIL's by 0.5 on average
for photographs, by 1.0 for coloured noise, and by up to 30 for few values. Without the hue shift it
would be 0.2, and up to 5: both use 8 bits for hue and saturation, but PIL rounds down and has 255
hues where OpenCV has 256. Measured by ``benchmarks/augmentation.py``.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from cv2.typing import MatLike
from torch import Tensor

from engine.data.transforms import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    AugmentParameters,
    draw_parameters,
)

Pixels = npt.NDArray[np.uint8]
TRUNCATE: Final = -0.49
"""Added before OpenCV rounds, because PIL's ``blend`` truncates."""
SLICES_PER_THREAD: Final = 2
LUMA: Final = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey, as in ``torchvision.transforms.functional``."""

cv2.setNumThreads(0)  # threads process different images of a batch


def augment_batch(
    images: Tensor,
    sizes: Tensor,
    generator: torch.Generator,
    threads: Executor,
    *,
    share: slice = slice(None),
) -> Tensor:
    """Augment images with random parameters.

    Args:
        images: (b, S, S, 3) uint8, on any device, resized from the originals.
        sizes: width and height of the originals of the whole batch, in pixels, (B, 2); parameters
            are drawn for all of them.
        generator: on the CPU.
        threads: used if the images are on the CPU.
        share: the slice of the batch that ``images`` holds.

    Returns:
        (b, S, S, 3) uint8, on the images' device.
    """
    parameters = draw_parameters(sizes, images.shape[1], generator)
    return augment_with(images, parameters.of(share), threads)


def augment_with(images: Tensor, parameters: AugmentParameters, threads: Executor) -> Tensor:
    """Return augmented copies of images (B, S, S, 3) uint8."""
    if images.device.type == "cpu":
        return torch.from_numpy(augment_pixels(images.numpy(), parameters, threads))
    augmented = augment_tensors(images, parameters)
    return augmented.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def augment_pixels(images: Pixels, parameters: AugmentParameters, threads: Executor) -> Pixels:
    """Return augmented copies of images (B, S, S, 3) uint8."""
    augmented = np.empty_like(images)
    drawn = list(
        zip(
            parameters.box.tolist(),
            parameters.covered().tolist(),
            parameters.flip.tolist(),
            parameters.factors.tolist(),
            parameters.order.tolist(),
            parameters.grayscale.tolist(),
            strict=True,
        )
    )

    def work(indices: range) -> None:
        for index in indices:
            box, covered, flip, factors, order, grayscale = drawn[index]
            image = _crop(images[index], box, covered)
            if flip:
                image = cv2.flip(image, 1)
            for operation in order:
                image = _jitter(image, operation, factors[operation])
            if grayscale:
                image = _gray(image)
            augmented[index] = image

    slices = SLICES_PER_THREAD * (os.cpu_count() or 1)
    step = -(-len(images) // slices)
    list(threads.map(work, (range(len(images))[i : i + step] for i in range(0, len(images), step))))
    return augmented


def _crop(image: MatLike, box: list[float], covered: list[int]) -> MatLike:
    """Crop a box and resize it to the whole image.

    Args:
        image: (S, S, 3).
        box: top, left, height and width in pixels.
        covered: the whole pixels that the box covers, as in :meth:`AugmentParameters.covered`.
    """
    top, left, height, width = box
    first_row, first_column, after_row, after_column = covered
    size = image.shape[0]
    around = image[first_row:after_row, first_column:after_column]
    if (height, width) == (size, size):
        return around
    if (height, width) == around.shape[:2]:
        return cv2.resize(around, (size, size), interpolation=cv2.INTER_LINEAR)
    down, across = size / height, size / width
    enlarged = cv2.resize(around, None, fx=across, fy=down, interpolation=cv2.INTER_LINEAR)
    row, column = round((top - first_row) * down), round((left - first_column) * across)
    return enlarged[row : row + size, column : column + size]


def _jitter(image: MatLike, operation: int, factor: float) -> MatLike:
    """Change brightness, contrast or saturation by a factor, or the hue by ``factor`` turns."""
    if operation == BRIGHTNESS:
        return cv2.addWeighted(image, factor, image, 0.0, TRUNCATE)
    if operation == CONTRAST:
        mean = int(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0] + 0.5)
        return cv2.addWeighted(image, factor, image, 0.0, (1 - factor) * mean + TRUNCATE)
    if operation == SATURATION:
        return cv2.addWeighted(image, factor, _gray(image), 1 - factor, TRUNCATE)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(factor * 256) % 256)  # a turn is 256, and bytes wrap around
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _gray(image: MatLike) -> MatLike:
    """Return the image without colour, in three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def augment_tensors(images: Tensor, parameters: AugmentParameters) -> Tensor:
    """Augment images (B, S, S, 3) uint8; return (B, 3, S, S) float32 in [0, 1].

    Images are grouped by the position of the hue shift in their order of operations.
    """
    count, size = images.shape[:2]
    device = images.device
    augmented = torch.empty(count, 3, size, size, device=device)
    work = _Work.plan(parameters, size).to(device)
    hue_position = (parameters.order == HUE).int().argmax(dim=1)
    for position in range(4):
        index = (hue_position == position).nonzero().flatten().to(device)
        if len(index):
            pixels = _augment_group(images.index_select(0, index), work.of(index), position)
            augmented.index_copy_(0, index, pixels.view(-1, 3, size, size))
    gray = parameters.grayscale.nonzero().flatten().to(device)
    luma = torch.tensor(LUMA, device=device).view(3, 1, 1)
    augmented[gray] = (augmented[gray] * luma).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    return augmented


class _Work(NamedTuple):
    """Parameters converted for tensor operations.

    Attributes:
        columns: horizontal sampling coordinates of the output pixels, (B, S), as in
            ``grid_sample``: −1 … 1 for the centres of the first and the last pixel.
        rows: vertical sampling coordinates, (B, S).
        matrices: channel matrices of brightness, contrast and saturation in each image's order,
            (B, 3, 3, 3).
        mean_weights: weights of the channels' means that each round adds, (B, 3, 3).
        hue_shift: in turns, (B, 1).
    """

    columns: Tensor
    rows: Tensor
    matrices: Tensor
    mean_weights: Tensor
    hue_shift: Tensor

    @classmethod
    def plan(cls, parameters: AugmentParameters, size: int) -> _Work:
        """Convert the parameters.

        Brightness, contrast and saturation are x ← clamp(f·x + (1 − f)·y), where y is black, the
        image's mean grey, or the pixel's grey: affine maps of the three channels.

        A crop is never larger than the image, so resizing only enlarges it: bilinear sampling
        without antialiasing, clamped to the crop, equals PIL's.
        """
        top, left, height, width = parameters.box.float().unbind(dim=1)
        first_row, first_column, after_row, after_column = parameters.covered().unbind(dim=1)
        position = torch.arange(size) + 0.5
        mirrored = torch.where(parameters.flip[:, None], size - position, position)
        rounds = parameters.order[parameters.order != HUE].view(-1, 3)
        factor = parameters.factors.gather(1, rounds)[..., None]
        luma = torch.tensor(LUMA)
        toward_gray = (1 - factor) * (rounds == SATURATION)[..., None] * luma
        return cls(
            columns=_sampling_points(mirrored, left, width, first_column, after_column, size),
            rows=_sampling_points(position, top, height, first_row, after_row, size),
            matrices=factor[..., None] * torch.eye(3) + toward_gray[..., None, :],
            mean_weights=(1 - factor) * (rounds == CONTRAST)[..., None] * luma,
            hue_shift=parameters.factors[:, HUE, None],
        )

    def to(self, device: torch.device) -> _Work:
        """Return the parameters on a device."""
        return _Work(*(tensor.to(device) for tensor in self))

    def of(self, index: Tensor) -> _Work:
        """Return the parameters of some images."""
        return _Work(*(tensor.index_select(0, index) for tensor in self))


def _augment_group(images: Tensor, work: _Work, hue_position: int) -> Tensor:
    """Crop and jitter images (B, S, S, 3) uint8; return (B, 3, S·S) float32 in [0, 1]."""
    count, size = images.shape[:2]
    grid = torch.empty(count, size, size, 2, device=images.device)
    grid[..., 0] = work.columns[:, None, :]
    grid[..., 1] = work.rows[:, :, None]
    planar = images.permute(0, 3, 1, 2).to(torch.float32)
    cropped = F.grid_sample(planar, grid, padding_mode="border", align_corners=True)
    pixels = cropped.flatten(2).div_(255)
    for number in range(3):
        if number == hue_position:
            pixels = shift_hue(pixels, work.hue_shift)
        mean_gray = (pixels.mean(dim=2) * work.mean_weights[:, number]).sum(dim=1)
        pixels = torch.baddbmm(mean_gray[:, None, None], work.matrices[:, number], pixels)
        pixels.clamp_(0, 1)
    return shift_hue(pixels, work.hue_shift) if hue_position == 3 else pixels


def shift_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Shift the hue of images in HSV space; value and saturation do not change.

    With V the largest channel, C the range of the channels and h the hue in turns, channel c of
    the result is V − C + C·clamp(2 − 6·d(h, c/3), 0, 1), where d is the distance on the circle.

    Args:
        images: (B, 3, P) float32 in [0, 1].
        shift: turns, (B, 1).
    """
    red, green, blue = images.unbind(dim=1)
    largest, smallest = images.amax(dim=1), images.amin(dim=1)
    chroma = largest - smallest
    sixth = chroma.clamp_min(1e-8).mul_(6).reciprocal_()
    not_red, not_green = (largest - red).sign_(), (largest - green).sign_()
    from_red = (green - blue).mul_(sixth)
    from_green = (blue - red).mul_(sixth).add_(1 / 3)
    from_blue = (red - green).mul_(sixth).add_(2 / 3)
    hue = from_red.lerp_(from_green.lerp_(from_blue, not_green), not_red).add_(shift)
    channel = torch.arange(3, device=images.device).view(1, 3, 1) / 3
    turns = hue[:, None] - (channel - 1.5)  # from the opposite of the channel; never negative
    distance = turns.frac_().sub_(0.5).abs_()
    level = torch.rsub(distance, 2, alpha=6).clamp_(0, 1)
    return level.mul_(chroma[:, None]).add_(smallest[:, None])


def _sampling_points(
    position: Tensor, start: Tensor, length: Tensor, first: Tensor, after: Tensor, size: int
) -> Tensor:
    """Return the sampling coordinates of S output pixels, −1 … 1 for the image's pixel centres.

    Args:
        position: centres of the output pixels, (S,) or (B, S), in pixels.
        start: start of the crops, (B,).
        length: length of the crops, (B,).
        first: first whole pixel covered by each crop, (B,).
        after: pixel after the last covered one, (B,).
        size: side S of the image and of the result.
    """
    inside = position * (length / size)[:, None] - 0.5
    inside = torch.maximum(inside, (first - start)[:, None])
    inside = torch.minimum(inside, (after - 1 - start)[:, None])
    return (inside + start[:, None]) * (2 / (size - 1)) - 1
