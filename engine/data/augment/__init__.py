"""DomainBed's training augmentation for a whole batch, every image with its own parameters.

Equal in distribution to torchvision's ``RandomResizedCrop(S, scale=(0.7, 1))``,
``RandomHorizontalFlip()``, ``ColorJitter(0.3, 0.3, 0.3, 0.3)`` and ``RandomGrayscale(0.1)`` one
after another on each PIL image. All parameters are drawn on the processor from one generator, so
its state tells what comes next, whatever the device.
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
    generator: torch.Generator,
    threads: Executor,
    *,
    share: slice = slice(None),
    count: int | None = None,
) -> Tensor:
    """Augment images with parameters of their own, drawn from the generator.

    Args:
        images: (b, S, S, 3) uint8, on any device.
        generator: on the processor.
        threads: share the work where the images are on the processor.
        share: which images of a batch these are.
        count: B, images of the batch, for all of which parameters are drawn; None: no others.

    Returns:
        (b, S, S, 3) uint8, on the images' device.
    """
    parameters = draw_parameters(count or len(images), images.shape[1], generator)
    return augment_with(images, parameters.of(share), threads)


def augment_with(images: Tensor, parameters: AugmentParameters, threads: Executor) -> Tensor:
    """Augment images (B, S, S, 3) uint8 as told, in memory of their own."""
    if images.device.type == "cpu":
        return torch.from_numpy(augment_pixels(images.numpy(), parameters, threads))
    augmented = augment_tensors(images, parameters)
    return augmented.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
