"""What is drawn for each image: crop, mirroring, colours; the same on every device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

SCALE: Final = (0.7, 1.0)
RATIO: Final = (3 / 4, 4 / 3)
CROP_ATTEMPTS: Final = 10
JITTER: Final = 0.3
GRAYSCALE_PROBABILITY: Final = 0.1

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


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

    def of(self, share: slice) -> AugmentParameters:
        """Return those of some of the images."""
        return AugmentParameters(
            self.box[share],
            self.flip[share],
            self.factors[share],
            self.order[share],
            self.grayscale[share],
        )


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
