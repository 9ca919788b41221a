"""Augmentation image by image in 8 bits, as PIL does it, with OpenCV's vectorised operations.

OpenCV computes without the interpreter's lock, so that threads share a batch. Rounding differs
from PIL's by a level here and there.
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
            parameters.flip.tolist(),
            parameters.factors.tolist(),
            parameters.order.tolist(),
            parameters.grayscale.tolist(),
            strict=True,
        )
    )

    def work(indices: range) -> None:
        for index in indices:
            box, flip, factors, order, grayscale = drawn[index]
            image = _crop(images[index], box, flip)
            for operation in order:
                image = _jitter(image, operation, factors[operation])
            if grayscale:
                image = _gray(image)
            augmented[index] = image

    slices = SLICES_PER_THREAD * (os.cpu_count() or 1)
    step = -(-len(images) // slices)
    list(threads.map(work, (range(len(images))[i : i + step] for i in range(0, len(images), step))))
    return augmented


def _crop(image: MatLike, box: list[int], flip: bool) -> MatLike:
    """Cut a box out, stretch it over the whole image, mirror it if told."""
    top, left, height, width = box
    size = image.shape[0]
    cropped = image[top : top + height, left : left + width]
    if (height, width) != (size, size):
        cropped = cv2.resize(cropped, (size, size), interpolation=cv2.INTER_LINEAR)
    return cv2.flip(cropped, 1) if flip else cropped


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
