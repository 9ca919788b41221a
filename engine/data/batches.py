"""Batches of images: drawn with replacement to train on, in order to evaluate on."""

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

    All that is random (which images, which augmentation) comes from one generator on the
    processor: its state is the position in the sequence of batches. Ranks that share a batch all
    draw the whole of it, and load their own images.
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
            kind: ``batch`` augments whole batches from the cache; ``pil`` does as DomainBed,
                image by image from the original files.
            mean: of each channel, subtracted.
            std: of each channel, divided by.
            generator: on the processor.
            device: where batches go.
            ranks: share each batch.
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
        """Images of the last batch, by their rows in the image set."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw a batch, with replacement, from the training images of every source domain.

        Returns:
            This rank's images, (b, 3, S, S) float32, normalised, and the labels of all, (B,) int64,
            on the device, domain after domain.
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
    """DomainBed's transforms from the original files, the work shared by threads."""

    def __init__(self, data: RunData, threads: Executor) -> None:
        self._image_set = data.image_set
        self._transform = PilTransform(data.domains[0].cached.pixels.shape[1])
        self._threads = threads

    def augment(
        self, rows: Indices, generator: torch.Generator, share: slice = slice(None)
    ) -> Tensor:
        """Return images of the image set, augmented, (b, S, S, 3) uint8.

        Args:
            rows: of a batch, (B,): what is drawn for one image depends on the sizes of others.
            generator: on the processor.
            share: those of them that are wanted.

        Raises:
            TrainingError: when a file can no longer be read.
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
        """Return images of the image set, each augmented as its own seed draws it.

        Args:
            rows: of the images, (b,); all of them are decoded at once.
            seeds: one for each.

        Raises:
            TrainingError: when a file can no longer be read.
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
            return images.open_image(row) if is_wanted else images.look_at_image(row)
        except OSError as error:
            path = self._image_set.files[row].path
            raise TrainingError(
                f"The image {path} of {self._image_set.location} can no longer be read "
                f"({error.strerror or error}). Put back the very file, then resume the run: it "
                "goes on from its last checkpoint."
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
    """Yield images as evaluation sees them, in the order of ``indices``.

    Args:
        domain: whose images.
        indices: in 0 … n−1.
        batch_size: images in a batch, on each rank; the last one may hold fewer, or none.
        mean: of each channel.
        std: of each channel.
        device: where batches go.
        ranks: share each batch.

    Yields:
        This rank's images, (b, 3, S, S) float32, normalised, and the labels of all, (B,) int64.
    """
    of_all = batch_size * ranks.size
    for start in range(0, len(indices), of_all):
        batch = indices[start : start + of_all]
        images = send(domain.images(batch[ranks.share(len(batch))]), device)
        yield network_input(images, mean, std), send(domain.labels[batch], device)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to the device, without waiting for the copy where the device allows it."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
