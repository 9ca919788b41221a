"""Augmentation image by image in 8 bits, like PIL, with OpenCV's vectorised operations.

OpenCV releases the GIL, so threads can share a batch. With the same parameters, levels (0 … 255)
differ from PIL's by 0.5 on average for photographs, by 1.0 for coloured noise, and by up to 30 for
few values. Without the hue shift it would be 0.2, and up to 5: both use 8 bits for hue and
saturation, but PIL rounds down and has 255 hues where OpenCV has 256. Measured by
``benchmarks/augmentation.py``.
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
"""Added before OpenCV rounds, because PIL's ``blend`` truncates."""
SLICES_PER_THREAD: Final = 2

cv2.setNumThreads(0)  # threads process different images of a batch


def augment_pixels(images: Pixels, parameters: AugmentParameters, threads: Executor) -> Pixels:
    """Return augmented copies of images (B, S, S, 3) uint8."""
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
    """Crop a box and resize it to the whole image.

    Args:
        image: (S, S, 3).
        box: top, left, height and width in pixels.
        covered: the whole pixels that the box covers, as in :meth:`AugmentParameters.covered`.
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
    """Change brightness, contrast or saturation by a factor, or the hue by ``factor`` turns."""
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
