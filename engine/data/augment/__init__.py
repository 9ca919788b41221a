"""DomainBed's training augmentation for a whole batch, every image with its own parameters.

Parameters are distributed as those of torchvision's ``RandomResizedCrop(S, scale=(0.7, 1))``,
``RandomHorizontalFlip()``, ``ColorJitter(0.3, 0.3, 0.3, 0.3)`` and ``RandomGrayscale(0.1)`` on
the original images; crops begin at most half a pixel of the result beside. Pixels are near to what
these make of PIL images, not equal: crops are enlarged from images already squeezed to S × S, which
blurs fine detail, and colours are rounded otherwise. All parameters are drawn on the processor from
one generator, so its state tells what comes next, whatever the device.
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
    """Augment images with parameters of their own, drawn from the generator.

    Args:
        images: (b, S, S, 3) uint8, on any device, squeezed from their originals.
        sizes: width and height of the originals of the whole batch, in pixels, (B, 2): parameters
            are drawn for all of them.
        generator: on the processor.
        threads: share the work where the images are on the processor.
        share: which images of the batch these are.

    Returns:
        (b, S, S, 3) uint8, on the images' device.
    """
    parameters = draw_parameters(sizes, images.shape[1], generator)
    return augment_with(images, parameters.of(share), threads)


def augment_with(images: Tensor, parameters: AugmentParameters, threads: Executor) -> Tensor:
    """Augment images (B, S, S, 3) uint8 as told, in memory of their own."""
    if images.device.type == "cpu":
        return torch.from_numpy(augment_pixels(images.numpy(), parameters, threads))
    augmented = augment_tensors(images, parameters)
    return augmented.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
