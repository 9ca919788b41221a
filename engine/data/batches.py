"""Batches of images: sampled with replacement for training, in order for evaluation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.data.augment import augment_batch
from engine.data.load import DomainData, RunData
from engine.data.splits import Indices
from engine.data.transforms import PilTransform, network_input
from engine.errors import TrainingError
from engine.ranks import ALONE, Ranks


class TrainingBatches:
    """Endless training batches: the same number of images of every source domain.

    All randomness (images and augmentation) comes from one CPU generator, whose state is the
    position in the sequence of batches. Every rank draws the whole batch and loads its own images.
    """

    def __init__(
        self,
        data: RunData,
        batch_size: int,
        kind: Literal["batch", "pil"],
        mean: Sequence[float],
        std: Sequence[float],
        generator: torch.Generator,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        """Prepare the draws.

        Args:
            data: images and their split.
            batch_size: images per source domain in a batch.
            kind: ``batch`` augments whole batches from the cache; ``pil`` augments image by image
                from the original files, as DomainBed does.
            mean: mean of each channel.
            std: standard deviation of each channel.
            generator: on the CPU.
            device: device of the batches.
            ranks: processes that share each batch.
        """
        self._sources = data.sources
        self._batch_size = batch_size
        self._mean, self._std = mean, std
        self._generator = generator
        self._device = device
        self._ranks = ranks
        self._threads = ThreadPoolExecutor(os.cpu_count())
        self._pil = PilAugmentation(data, self._threads) if kind == "pil" else None
        self.drawn: Indices | None = None
        """Rows in the image set of the last batch's images."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw a batch, with replacement, from the training images of every source domain.

        Returns:
            This rank's images, (b, 3, S, S) float32, normalised, and the labels of all images, (B,)
            int64, on the device, ordered by domain.
        """
        chosen = [(domain, self._draw_indices(domain)) for domain in self._sources]
        self.drawn = np.concatenate([domain.rows[indices] for domain, indices in chosen])
        labels = torch.cat([domain.labels[indices] for domain, indices in chosen])
        share = self._ranks.share(len(labels))
        if self._pil is None:
            cached = self._sources[0].cached
            raw = send(torch.from_numpy(cached.take(self.drawn[share])), self._device)
            sizes = torch.from_numpy(cached.sizes[self.drawn])
            pixels = augment_batch(raw, sizes, self._generator, self._threads, share=share)
        else:
            augmented = self._pil.augment(self.drawn, self._generator, share)
            pixels = send(augmented, self._device)
        return network_input(pixels, self._mean, self._std), send(labels, self._device)

    def _draw_indices(self, domain: DomainData) -> Indices:
        count = len(domain.in_indices)
        drawn = torch.randint(count, (self._batch_size,), generator=self._generator)
        chosen: Indices = domain.in_indices[drawn.numpy()]
        return chosen


class PilAugmentation:
    """DomainBed's transforms on the original files, in threads."""

    def __init__(self, data: RunData, threads: Executor) -> None:
        self._image_set = data.image_set
        self._transform = PilTransform(data.domains[0].cached.pixels.shape[1])
        self._threads = threads

    def augment(
        self, rows: Indices, generator: torch.Generator, share: slice = slice(None)
    ) -> Tensor:
        """Return images of the image set, augmented, (b, S, S, 3) uint8.

        Args:
            rows: rows of the whole batch, (B,); the draws for an image depend on the others' sizes.
            generator: on the CPU.
            share: the images to return.

        Raises:
            TrainingError: if a file can no longer be read.
        """
        wanted = range(len(rows))[share]
        are_wanted = [at in wanted for at in range(len(rows))]
        images = list(self._threads.map(self._open, rows.tolist(), are_wanted))
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            drawn = [self._transform.draw(image) for image in images]
        done = self._threads.map(self._transform.apply, images[share], drawn[share])
        return torch.stack(list(done))

    def augment_each(self, rows: Indices, seeds: Sequence[int]) -> Tensor:
        """Return images of the image set, each augmented with its own seed.

        Args:
            rows: rows of the images, (b,); all are decoded at once.
            seeds: one for each image.

        Raises:
            TrainingError: if a file can no longer be read.
        """
        images = list(self._threads.map(self._open, rows.tolist(), [True] * len(rows)))
        drawn = []
        with torch.random.fork_rng(devices=[]):
            for image, seed in zip(images, seeds, strict=True):
                torch.default_generator.manual_seed(seed)
                drawn.append(self._transform.draw(image))
        return torch.stack(list(self._threads.map(self._transform.apply, images, drawn)))

    def _open(self, row: int, is_wanted: bool) -> Image.Image:
        images = self._image_set
        try:
            return images.open_image(row) if is_wanted else images.open_header(row)
        except OSError as error:
            path = self._image_set.files[row].path
            raise TrainingError(
                f"The image {path} of {self._image_set.location} can no longer be read "
                f"({error.strerror or error}). Restore the file, then resume the run."
            ) from None


def evaluation_batches(
    domain: DomainData,
    indices: Indices,
    batch_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches for evaluation, in the order of ``indices``.

    Args:
        domain: the images' domain.
        indices: in 0 … n−1.
        batch_size: images of a batch on each rank; the last batch may have fewer, or none.
        mean: mean of each channel.
        std: standard deviation of each channel.
        device: device of the batches.
        ranks: processes that share each batch.

    Yields:
        This rank's images, (b, 3, S, S) float32, normalised, and the labels of all images, (B,)
        int64.
    """
    of_all = batch_size * ranks.size
    for start in range(0, len(indices), of_all):
        batch = indices[start : start + of_all]
        images = send(domain.images(batch[ranks.share(len(batch))]), device)
        yield network_input(images, mean, std), send(domain.labels[batch], device)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to the device, asynchronously if possible."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
