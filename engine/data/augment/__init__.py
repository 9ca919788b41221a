"""DomainBed's training augmentation for whole batches, with separate parameters for each image.

Parameters are distributed like those of torchvision's ``RandomResizedCrop(S, scale=(0.7, 1))``,
``RandomHorizontalFlip()``, ``ColorJitter(0.3, 0.3, 0.3, 0.3)`` and ``RandomGrayscale(0.1)`` on the
original images; crop offsets differ by at most half an output pixel. Pixels are close but not equal
to the result on PIL images: crops are enlarged from images already resized to S × S, which blurs
fine detail, and colours are rounded differently. All parameters are drawn on the CPU from one
generator, so the sequence is the same on every device.
"""

from __future__ import annotations

from concurrent.futures import Executor

import torch
from torch import Tensor

from engine.data.augment.on_device import augment_tensors
from engine.data.augment.on_processor import augment_pixels
from engine.data.augment.parameters import AugmentParameters, draw_parameters

__all__ = ["AugmentParameters", "augment_batch", "augment_with", "draw_parameters"]


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
