"""DomainBed's training augmentation for a whole batch at once, on any device.

Equal in distribution to torchvision's ``RandomResizedCrop(S, scale=(0.7, 1))``,
``RandomHorizontalFlip()``, ``ColorJitter(0.3, 0.3, 0.3, 0.3)`` and ``RandomGrayscale(0.1)`` one
after another on each image, every image with its own parameters; values stay real numbers
between the steps, where PIL rounds them to 8 bits. All parameters are drawn on the processor
from one generator, so its state tells what comes next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE: Final = (0.7, 1.0)
RATIO: Final = (3 / 4, 4 / 3)
CROP_ATTEMPTS: Final = 10
JITTER: Final = 0.3
GRAYSCALE_PROBABILITY: Final = 0.1

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
LUMA: Final = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in grey, as ``torchvision.transforms.functional`` has them."""

GROUP_VALUES: Final = 2**19
"""Values (images × channels × pixels) augmented at a time on a processor."""


@dataclass(frozen=True)
class AugmentParameters:
    """How each of B images is changed; all tensors on the processor.

    Attributes:
        box: top, left, height and width of the crop in pixels, (B, 4) int64.
        flip: mirrored from left to right, (B,) bool.
        factors: brightness, contrast and saturation factors and hue shift in turns, (B, 4).
        order: the four in the order they are applied, (B, 4) int64.
        grayscale: colour is taken away at the end, (B,) bool.
    """

    box: Tensor
    flip: Tensor
    factors: Tensor
    order: Tensor
    grayscale: Tensor


def augment_batch(images: Tensor, generator: torch.Generator) -> Tensor:
    """Augment images with parameters of their own, drawn from the generator.

    Args:
        images: (B, S, S, 3) uint8, on any device.
        generator: on the processor.

    Returns:
        (B, 3, S, S) float32 in [0, 1], on the images' device.
    """
    return augment_with(images, draw_parameters(len(images), images.shape[1], generator))


def draw_parameters(count: int, image_size: int, generator: torch.Generator) -> AugmentParameters:
    """Draw the parameters of ``count`` images of S × S pixels."""
    uniform = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    jitter = torch.rand(count, 4, generator=generator, dtype=torch.float64) * 2 - 1
    factors = JITTER * jitter
    factors[:, :HUE] += 1
    return AugmentParameters(
        box=_draw_boxes(count, image_size, generator),
        flip=uniform[:, 0] < 0.5,
        factors=factors.float(),
        order=torch.rand(count, 4, generator=generator, dtype=torch.float64).argsort(dim=1),
        grayscale=uniform[:, 1] < GRAYSCALE_PROBABILITY,
    )


def augment_with(images: Tensor, parameters: AugmentParameters) -> Tensor:
    """Augment images (B, S, S, 3) uint8 as told; return (B, 3, S, S) float32 in [0, 1].

    Images whose hue turns at the same place in their order go together; on a processor in
    groups small enough for its cache.
    """
    count, size = images.shape[:2]
    device = images.device
    augmented = torch.empty(count, 3, size, size, device=device)
    group_size = max(1, GROUP_VALUES // augmented[0].numel()) if device.type == "cpu" else count
    work = _Work.plan(parameters, size).to(device)
    hue_position = (parameters.order == HUE).int().argmax(dim=1)
    for position in range(4):
        for group in (hue_position == position).nonzero().flatten().split(group_size):
            if len(group):
                index = group.to(device)
                pixels = _augment_group(images.index_select(0, index), work.of(index), position)
                augmented.index_copy_(0, index, pixels.view(-1, 3, size, size))
    gray = parameters.grayscale.nonzero().flatten().to(device)
    luma = torch.tensor(LUMA, device=device).view(3, 1, 1)
    augmented[gray] = (augmented[gray] * luma).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    return augmented


class _Work(NamedTuple):
    """Parameters in the form in which pixels are computed with.

    Attributes:
        columns: where the pixels of a row of the result lie across the image, (B, S), as
            ``grid_sample`` counts: −1 … 1 for the centres of the first and the last pixel.
        rows: where those of a column lie down the image, (B, S).
        matrices: brightness, contrast and saturation in each image's order: three rounds of
            products with the channels, (B, 3, 3, 3).
        mean_weights: what each round adds, as weights of the channels' means, (B, 3, 3).
        hue_shift: turns, (B, 1).
    """

    columns: Tensor
    rows: Tensor
    matrices: Tensor
    mean_weights: Tensor
    hue_shift: Tensor

    @classmethod
    def plan(cls, parameters: AugmentParameters, size: int) -> _Work:
        """Work the parameters out.

        Brightness, contrast and saturation are x ← clamp(f·x + (1 − f)·y), where y is black, the
        image's mean grey, or the pixel's grey: affine maps of the three channels.

        A crop is never larger than the image, so that resizing it only enlarges: bilinear
        sampling without antialiasing, kept within the crop, equals PIL's.
        """
        top, left, height, width = parameters.box.float().unbind(dim=1)
        position = torch.arange(size) + 0.5
        mirrored = torch.where(parameters.flip[:, None], size - position, position)
        rounds = parameters.order[parameters.order != HUE].view(-1, 3)
        factor = parameters.factors.gather(1, rounds)[..., None]
        luma = torch.tensor(LUMA)
        toward_gray = (1 - factor) * (rounds == SATURATION)[..., None] * luma
        return cls(
            columns=_sampling_points(mirrored, left, width, size),
            rows=_sampling_points(position, top, height, size),
            matrices=factor[..., None] * torch.eye(3) + toward_gray[..., None, :],
            mean_weights=(1 - factor) * (rounds == CONTRAST)[..., None] * luma,
            hue_shift=parameters.factors[:, HUE, None],
        )

    def to(self, device: torch.device) -> _Work:
        """Return it on a device."""
        return _Work(*(tensor.to(device) for tensor in self))

    def of(self, index: Tensor) -> _Work:
        """Return the work on some of the images."""
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
    """Turn the hue of images in HSV space, value and saturation kept.

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


def _draw_boxes(count: int, image_size: int, generator: torch.Generator) -> Tensor:
    """Draw crops as ``RandomResizedCrop.get_params``: the first of ten that fits, or all."""
    draws = torch.rand(4, count, CROP_ATTEMPTS, generator=generator, dtype=torch.float64)
    area = (SCALE[0] + (SCALE[1] - SCALE[0]) * draws[0]) * image_size**2
    log_low, log_high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = (log_low + (log_high - log_low) * draws[1]).exp()
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width <= image_size) & (height <= image_size)
    top = ((image_size - height + 1) * draws[2]).floor()
    left = ((image_size - width + 1) * draws[3]).floor()
    boxes = torch.stack((top, left, height, width), dim=2).long()
    chosen = boxes[torch.arange(count), fits.int().argmax(dim=1)]
    whole = torch.tensor((0, 0, image_size, image_size))
    return torch.where(fits.any(dim=1, keepdim=True), chosen, whole)


def _sampling_points(position: Tensor, start: Tensor, length: Tensor, size: int) -> Tensor:
    """Return where S pixels of the result lie in the image, −1 … 1 for its S pixels' centres."""
    inside = position * (length / size)[:, None] - 0.5
    inside = torch.minimum(inside.clamp_min(0), length[:, None] - 1)
    return (inside + start[:, None]) * (2 / (size - 1)) - 1
