"""Augmentation image by image in 8 bits, as PIL does it, with OpenCV's vectorised operations.

OpenCV computes without the interpreter's lock, so that threads share a batch. With the same
parameters, levels of 0 … 255 differ from PIL's by 0.5 in the mean for photographs, by 1.0 for noise
of all colours, and by up to 30 in few values. Without the hue it would be 0.2, and up to 5: both
turn it in 8 bits of hue and saturation, but PIL rounds these down, and has 255 hues where OpenCV
has 256. ``benchmarks/augmentation.py`` measures it.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from engine.data.augment.parameters import BRIGHTNESS, CONTRAST, SATURATION, AugmentParameters

Pixels = npt.NDArray[np.uint8]

TRUNCATE: Final = -0.49
"""Added before OpenCV rounds, because PIL's ``blend`` cuts the fraction off."""
SLICES_PER_THREAD: Final = 2

cv2.setNumThreads(0)  # a batch is shared by our threads, not each image by OpenCV's


def augment_pixels(images: Pixels, parameters: AugmentParameters, threads: Executor) -> Pixels:
    """Augment images (B, S, S, 3) uint8 as told; return as many of the same shape."""
    augmented = np.empty_like(images)
    drawn = list(
        zip(
            parameters.box.tolist(),
            parameters.covered().tolist(),
            parameters.flip.tolist(),
            parameters.factors.tolist(),
            parameters.order.tolist(),
            parameters.grayscale.tolist(),
            strict=True,
        )
    )

    def work(indices: range) -> None:
        for index in indices:
            box, covered, flip, factors, order, grayscale = drawn[index]
            image = _crop(images[index], box, covered)
            if flip:
                image = cv2.flip(image, 1)
            for operation in order:
                image = _jitter(image, operation, factors[operation])
            if grayscale:
                image = _gray(image)
            augmented[index] = image

    slices = SLICES_PER_THREAD * (os.cpu_count() or 1)
    step = -(-len(images) // slices)
    list(threads.map(work, (range(len(images))[i : i + step] for i in range(0, len(images), step))))
    return augmented


def _crop(image: MatLike, box: list[float], covered: list[int]) -> MatLike:
    """Cut a box out, and stretch it over the whole image.

    Args:
        image: (S, S, 3).
        box: top, left, height and width in pixels.
        covered: the whole pixels that it reaches into.
    """
    top, left, height, width = box
    first_row, first_column, after_row, after_column = covered
    size = image.shape[0]
    around = image[first_row:after_row, first_column:after_column]
    if (height, width) == (size, size):
        return around
    if (height, width) == around.shape[:2]:
        return cv2.resize(around, (size, size), interpolation=cv2.INTER_LINEAR)
    down, across = size / height, size / width
    enlarged = cv2.resize(around, None, fx=across, fy=down, interpolation=cv2.INTER_LINEAR)
    row, column = round((top - first_row) * down), round((left - first_column) * across)
    return enlarged[row : row + size, column : column + size]


def _jitter(image: MatLike, operation: int, factor: float) -> MatLike:
    """Change brightness, contrast or saturation by a factor, or the hue by so many turns."""
    if operation == BRIGHTNESS:
        return cv2.addWeighted(image, factor, image, 0.0, TRUNCATE)
    if operation == CONTRAST:
        mean = int(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0] + 0.5)
        return cv2.addWeighted(image, factor, image, 0.0, (1 - factor) * mean + TRUNCATE)
    if operation == SATURATION:
        return cv2.addWeighted(image, factor, _gray(image), 1 - factor, TRUNCATE)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(factor * 256) % 256)  # a turn is 256, and bytes wrap around
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _gray(image: MatLike) -> MatLike:
    """Return the image without colour, in three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
