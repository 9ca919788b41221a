"""Batches and tasks of objectives, made up: three sources, five classes, seven features."""

from __future__ import annotations

import torch

from engine.data import Pairs
from engine.objectives import Batch, Task, Teaching

DOMAINS, CLASSES, FEATURES, OF_EACH, MASKS = 3, 5, 7, 4, 2
IMAGES_OF_DOMAIN = 20


def make_task(domains: int = DOMAINS) -> Task:
    """Return a task with :data:`IMAGES_OF_DOMAIN` training images of each source."""
    rows = torch.arange(domains * IMAGES_OF_DOMAIN).chunk(domains)
    labels = tuple(each % CLASSES for each in rows)
    images = domains * IMAGES_OF_DOMAIN
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(images, CLASSES, generator=generator)
    teaching = Teaching(logits.log_softmax(dim=1), torch.rand(images, generator=generator))
    return Task(rows, labels, images, CLASSES, FEATURES, teaching)


def make_batch(
    seed: int = 0,
    domains: int = DOMAINS,
    of_each: int = OF_EACH,
    masks: int = MASKS,
    step: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Return a batch of the first images of each source, whose logits and features are leaves."""
    generator = torch.Generator().manual_seed(seed)
    count = domains * of_each
    logits = torch.randn(masks, count, CLASSES, generator=generator, dtype=torch.float64)
    features = torch.randn(count, FEATURES, generator=generator, dtype=torch.float64)
    rows = torch.cat([each[:of_each] for each in make_task(domains).rows])
    return Batch(
        logits.to(dtype).requires_grad_(),
        features.to(dtype).requires_grad_(),
        rows % CLASSES,
        rows,
        domains,
        step,
        pairs=Pairs.draw(domains, of_each, 1.0, generator),
    )
