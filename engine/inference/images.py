"""Decoding of any number of images in threads, in order, at bounded memory.

PIL releases the GIL while it decodes and resizes, so threads use every core and no image is
copied between processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from engine.datasets.cache import Pixels, reason_of, resize
from engine.datasets.folders import decode_image
from engine.inference.classifier import Classifier

FIRST_BATCH: Final = 8
"""Images of the first batch, so that results appear soon."""
BATCHES_AHEAD: Final = 2
"""Batches that are decoded while one is computed."""
TASK_IMAGES: Final = 4
"""Images that a thread decodes per task."""

ReadContent = Callable[[int], bytes]
"""Returns the content of an image file by its position; raises OSError if it cannot be read."""


@dataclass(frozen=True)
class DecodedBatch:
    """Some of the images, in order.

    Attributes:
        positions: of the readable images.
        pixels: of these, (B, S, S, 3) uint8; B may be 0.
        unreadable: reasons by position of the others.
    """

    positions: tuple[int, ...]
    pixels: Tensor
    unreadable: dict[int, str]


@dataclass(frozen=True)
class LogitsBatch:
    """Logits of some of the images, in order; attributes as in :class:`DecodedBatch`."""

    positions: tuple[int, ...]
    pixels: Tensor
    logits: Tensor
    unreadable: dict[int, str]


def classify(
    classifier: Classifier, count: int, read: ReadContent, *, batch_size: int, threads: int
) -> Iterator[LogitsBatch]:
    """Yield the logits (B, C) float32 of images, on the CPU, while the next ones are decoded.

    Args:
        classifier: on its device.
        count: number of images.
        read: returns the content of each; thread-safe.
        batch_size: images computed at a time.
        threads: that decode.
    """
    device = next(classifier.parameters()).device
    batches = decoded_batches(
        count, read, classifier.image_size, batch_size=batch_size, threads=threads
    )
    with classifier.folded(), closing(batches):
        for batch in batches:
            with torch.inference_mode():
                pixels = batch.pixels.to(device)
                logits = classifier(classifier.normalise(pixels)) if len(pixels) else torch.empty(0)
            yield LogitsBatch(batch.positions, batch.pixels, logits.cpu(), batch.unreadable)


def decoded_batches(
    count: int, read: ReadContent, image_size: int, *, batch_size: int, threads: int
) -> Generator[DecodedBatch, None, None]:
    """Yield all images in order, in batches; the first batch is small.

    At most :data:`BATCHES_AHEAD` batches wait, so memory does not depend on ``count``.

    Args:
        count: number of images.
        read: returns the content of each; thread-safe.
        image_size: side S of the resized images, in pixels.
        batch_size: images per batch.
        threads: that decode.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    spans = _spans(count, batch_size)
    waiting: deque[_Batch] = deque()
    try:
        for span in spans:
            waiting.append(_Batch(span, read, image_size, pool))
            if len(waiting) > BATCHES_AHEAD:
                yield waiting.popleft().decoded()
        while waiting:
            yield waiting.popleft().decoded()
    finally:
        pool.shutdown(cancel_futures=True)


def _spans(count: int, batch_size: int) -> Iterator[range]:
    """Yield the positions of each batch."""
    start = 0
    while start < count:
        stop = start + (min(FIRST_BATCH, batch_size) if start == 0 else batch_size)
        yield range(start, min(stop, count))
        start = stop


class _Batch:
    """A batch that is being decoded."""

    def __init__(
        self, span: range, read: ReadContent, image_size: int, pool: ThreadPoolExecutor
    ) -> None:
        self._span, self._read, self._image_size = span, read, image_size
        self._pixels: Pixels = np.empty((len(span), image_size, image_size, 3), dtype=np.uint8)
        parts = [span[start : start + TASK_IMAGES] for start in range(0, len(span), TASK_IMAGES)]
        self._tasks: Sequence[Future[dict[int, str]]] = [
            pool.submit(self._decode, part) for part in parts
        ]

    def decoded(self) -> DecodedBatch:
        """Return the batch when all its images are decoded."""
        unreadable: dict[int, str] = {}
        for task in self._tasks:
            unreadable |= task.result()
        if not unreadable:
            return DecodedBatch(tuple(self._span), torch.from_numpy(self._pixels), {})
        readable = [at for at, position in enumerate(self._span) if position not in unreadable]
        return DecodedBatch(
            tuple(self._span[at] for at in readable),
            torch.from_numpy(self._pixels[readable]),
            unreadable,
        )

    def _decode(self, positions: range) -> dict[int, str]:
        """Decode some images; return the reasons by position of unreadable ones."""
        unreadable = {}
        for position in positions:
            try:
                image = decode_image(self._read(position))
                resized = resize(image, self._image_size)
                self._pixels[position - self._span.start] = np.asarray(resized)
            except OSError as error:
                unreadable[position] = reason_of(error)
            except MemoryError:
                unreadable[position] = "is too large to decode in the free memory"
        return unreadable
