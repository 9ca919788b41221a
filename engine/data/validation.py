"""Augmentation of the sources' validation images by the training transform, as in DomainBed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch
from torch import Tensor

from engine.data.augment import augment_with, draw_parameters
from engine.data.batches import PilAugmentation, send
from engine.data.load import DomainData, RunData
from engine.data.splits import Indices, seed_hash
from engine.data.transforms import network_input
from engine.protocol import RunSpec
from engine.ranks import ALONE, Ranks

AT_ONCE = 64
"""Maximum number of original files decoded at a time."""


class ValidationAugmentation:
    """Augments validation images, with new random draws at every step.

    The draws depend only on the run's seed, the step, the domain, and the image's position among
    the domain's validation images. They do not depend on batch size or ranks, need no state in
    checkpoints, and do not affect the random numbers of training.
    """

    def __init__(self, data: RunData, kind: Literal["batch", "pil"], seed: int) -> None:
        """Prepare the draws.

        Args:
            data: images and their split.
            kind: the training transform: ``batch`` (from the cache) or ``pil`` (original files).
            seed: seed of the run.
        """
        self._seed = seed
        self._threads = ThreadPoolExecutor(os.cpu_count())
        self._pil = PilAugmentation(data, self._threads) if kind == "pil" else None

    def batches(
        self,
        step: int,
        domain: DomainData,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a domain's validation images, augmented for a step, in the order of their indices.

        The other arguments and the batches are as in :func:`evaluation_batches`.

        Raises:
            TrainingError: if an original file can no longer be read.
        """
        indices = domain.out_indices
        generator = torch.Generator().manual_seed(
            seed_hash("validation", self._seed, step, domain.name)
        )
        augmented = self._drawn(domain, indices, generator, device)
        of_all = batch_size * ranks.size
        for start in range(0, len(indices), of_all):
            count = min(of_all, len(indices) - start)
            share = ranks.share(count)
            pixels = augmented(slice(start + share.start, start + share.stop))
            labels = send(domain.labels[indices[start : start + count]], device)
            yield network_input(pixels, mean, std), labels

    def _drawn(
        self,
        domain: DomainData,
        indices: Indices,
        generator: torch.Generator,
        device: torch.device,
    ) -> Callable[[slice], Tensor]:
        """Draw for all images; return a function that augments a slice of them.

        It returns (b, S, S, 3) uint8 on the device.
        """
        pil, rows = self._pil, domain.rows[indices]
        if pil is not None:
            seeds = torch.randint(2**63 - 1, (len(indices),), generator=generator)

            def from_files(part: slice) -> Tensor:
                places = range(part.start, part.stop, AT_ONCE)
                parts = [slice(at, min(at + AT_ONCE, part.stop)) for at in places]
                done = [pil.augment_each(rows[each], seeds[each].tolist()) for each in parts]
                return send(torch.cat(done) if done else domain.images(indices[:0]), device)

            return from_files
        cached = domain.cached
        sizes = torch.from_numpy(cached.sizes[rows])
        parameters = draw_parameters(sizes, cached.pixels.shape[1], generator)

        def from_cache(part: slice) -> Tensor:
            images = send(domain.images(indices[part]), device)
            if not len(images):  # the last batch has fewer images than ranks
                return images
            return augment_with(images, parameters.of(part), self._threads)

        return from_cache


def validation_augmentation(spec: RunSpec, data: RunData) -> ValidationAugmentation | None:
    """Return the augmentation of a run's validation images, or None."""
    if not spec.augment_validation:
        return None
    return ValidationAugmentation(data, spec.transforms, spec.seed)
