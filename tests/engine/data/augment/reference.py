"""Parameters that change nothing, and torchvision's operations to compare with."""

from __future__ import annotations

from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional

from engine.data.transforms import BRIGHTNESS, CONTRAST, HUE, SATURATION, AugmentParameters

SIZE = 64
GREY_LEVEL = 1 / 255
EXTREMES = {
    BRIGHTNESS: (0.7, 1.3),
    CONTRAST: (0.7, 1.3),
    SATURATION: (0.7, 1.3),
    HUE: (-0.3, 0.3),
}

Picture = TypeVar("Picture", Tensor, Image.Image)


def untouched(count: int) -> AugmentParameters:
    """Return parameters that change nothing."""
    return AugmentParameters(
        box=torch.tensor([0.0, 0.0, SIZE, SIZE], dtype=torch.float64).repeat(count, 1),
        flip=torch.zeros(count, dtype=torch.bool),
        factors=torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(count, 1),
        order=torch.arange(4).repeat(count, 1),
        grayscale=torch.zeros(count, dtype=torch.bool),
    )


def square(count: int, side: int = SIZE) -> Tensor:
    """Return the sizes of square originals, (B, 2)."""
    return sizes(count, side, side)


def sizes(count: int, width: int, height: int) -> Tensor:
    """Return the sizes of originals that are all of one size, (B, 2)."""
    return torch.tensor([width, height]).repeat(count, 1)


def planar(images: Tensor) -> Tensor:
    """Return (B, 3, S, S) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def adjust(image: Picture, operation: int, factor: float) -> Picture:
    """Apply one of the four operations with torchvision."""
    adjustments = {
        BRIGHTNESS: functional.adjust_brightness,
        CONTRAST: functional.adjust_contrast,
        SATURATION: functional.adjust_saturation,
        HUE: functional.adjust_hue,
    }
    adjusted: Picture = adjustments[operation](image, factor)
    return adjusted


def furthest(one: Tensor, other: Tensor) -> float:
    """Return the largest difference."""
    return float((one - other).abs().max())


def to_pil(image: Tensor) -> Image.Image:
    """Return an image (S, S, 3) uint8 as PIL holds it."""
    pil: Image.Image = functional.to_pil_image(image.permute(2, 0, 1))
    return pil
