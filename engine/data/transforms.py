"""Normalisation of network inputs, and DomainBed's training transforms on PIL images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from engine.data.augment.parameters import GRAYSCALE_PROBABILITY, JITTER, RATIO, SCALE


class PilDraw(NamedTuple):
    """Random parameters of one image: crop box, flip, jitter (order, then factors), greyscale."""

    box: tuple[int, int, int, int]
    flip: bool
    jitter: tuple[Tensor, float, float, float, float]
    grayscale: bool


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
