"""Batches of images: sampled with replacement for training, in order for evaluation.

If a run reads frozen features in place of images, batches have these.

Validation images can be augmented by the training transform, as DomainBed evaluates them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.data.augment import augment_batch, augment_with
from engine.data.load import DomainData, Indices, RunData, seed_hash
from engine.data.mixing import Pairs, whole_sources
from engine.data.sampling import Sampler, Sampling
from engine.data.transforms import PilTransform, draw_parameters, network_input
from engine.errors import TrainingError
from engine.protocol import RunSpec
from engine.ranks import ALONE, Ranks

AT_ONCE = 64
"""Maximum number of original files decoded at a time."""
FROZEN_AT_ONCE = 4096
"""Minimum number of frozen features evaluated at a time, as they need little memory."""

LoadImages = Callable[[slice], Tensor]
"""Returns a slice of a domain's images to evaluate, (b, S, S, 3) uint8 on the device, or their
frozen features."""


class TrainingBatches:
    """Endless training batches: the same number of images of every source domain.

    All randomness (images, and augmentation or views) comes from one CPU generator, whose state is
    the position in the sequence of batches. Every rank draws the whole batch and loads its own
    images; if images are mixed, also the others of their sources.
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
        sampling: Sampling = "uniform",
        mixup_alpha: float | None = None,
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
            sampling: of the images of a domain.
            mixup_alpha: α of the Beta distribution of shares, if images are mixed in pairs.
        """
        self._sources = data.sources
        self._samplers = [
            Sampler(domain.labels[domain.in_indices], sampling) for domain in data.sources
        ]
        self._batch_size = batch_size
        self._mean, self._std = mean, std
        self._generator = generator
        self._device = device
        self._ranks = ranks
        self._mixup_alpha = mixup_alpha
        self._threads = ThreadPoolExecutor(os.cpu_count())
        self._pil = PilAugmentation(data, self._threads) if kind == "pil" else None
        self.drawn: Indices = np.empty(0, dtype=np.int64)
        """Rows in the image set of the last batch's images."""
        self.pairs: Pairs | None = None
        """How the last batch's images are mixed; None: they are not."""
        self.drawing_s = 0.0
        """Seconds that :meth:`draw` took so far."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw a batch, with replacement, from the training images of every source domain.

        Returns:
            This rank's images, (b, 3, S, S) float32, normalised, or their frozen features, and the
            labels of all images, (B,) int64, on the device, ordered by domain.
        """
        began = time.perf_counter()
        batch = self._draw()
        self.drawing_s += time.perf_counter() - began
        return batch

    def _draw(self) -> tuple[Tensor, Tensor]:
        chosen = [
            (domain, domain.in_indices[sampler.draw(self._batch_size, self._generator).numpy()])
            for domain, sampler in zip(self._sources, self._samplers, strict=True)
        ]
        self.drawn = np.concatenate([domain.rows[indices] for domain, indices in chosen])
        labels = torch.cat([domain.labels[indices] for domain, indices in chosen])
        share = self._ranks.share(len(labels))
        if self._mixup_alpha is None:
            return self._load(share), send(labels, self._device)
        loaded = whole_sources(share, self._batch_size)
        images = self._load(loaded)
        self.pairs = Pairs.draw(
            len(self._sources), self._batch_size, self._mixup_alpha, self._generator
        )
        return self.pairs.mix(images, share, loaded), send(labels, self._device)

    def _load(self, share: slice) -> Tensor:
        """Return a slice of the drawn images, augmented and normalised, or frozen features."""
        if (frozen := self._sources[0].frozen) is not None:
            features = frozen.draw_views(self.drawn, self._generator, share)
            return send(features, self._device)
        if self._pil is None:
            cached = self._sources[0].cached
            raw = send(torch.from_numpy(cached.take(self.drawn[share])), self._device)
            sizes = torch.from_numpy(cached.sizes[self.drawn])
            pixels = augment_batch(raw, sizes, self._generator, self._threads, share=share)
        else:
            augmented = self._pil.augment(self.drawn, self._generator, share)
            pixels = send(augmented, self._device)
        return network_input(pixels, self._mean, self._std)


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
    load: LoadImages | None = None,
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
        load: returns the images of a slice of ``indices``; None: the cached ones.

    Yields:
        This rank's images, (b, 3, S, S) float32, normalised, or their frozen features, and the
        labels of all images, (B,) int64.
    """
    frozen = domain.frozen

    def cached(part: slice) -> Tensor:
        if frozen is not None:
            return send(frozen.take(domain.rows[indices[part]]), device)
        return send(domain.images(indices[part]), device)

    load = load or cached
    if frozen is not None:
        batch_size = max(batch_size, FROZEN_AT_ONCE)
    of_all = batch_size * ranks.size
    for start in range(0, len(indices), of_all):
        labels = domain.labels[indices[start : start + of_all]]
        share = ranks.share(len(labels))
        inputs = load(slice(start + share.start, start + share.stop))
        if frozen is None:
            inputs = network_input(inputs, mean, std)
        yield inputs, send(labels, device)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to the device, asynchronously if possible."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


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

    def of_step(self, step: int, domain: DomainData, device: torch.device) -> LoadImages:
        """Draw for all validation images of a domain; return the function that augments them.

        It raises TrainingError if an original file can no longer be read.
        """
        indices = domain.out_indices
        generator = torch.Generator().manual_seed(
            seed_hash("validation", self._seed, step, domain.name)
        )
        pil, rows, frozen = self._pil, domain.rows[indices], domain.frozen
        if frozen is not None:
            views = torch.randint(len(frozen.views), (len(rows),), generator=generator).numpy()
            return lambda part: send(frozen.take_views(rows[part], views[part]), device)
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
