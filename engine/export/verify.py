"""Check exported files: loaded again, they must predict as the run's network."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.datasets.catalog import find_image_set
from engine.datasets.folders import decode_image
from engine.errors import DataError, InputError
from engine.export.form import Loaded, as_rgb
from engine.inference.classifier import Classifier
from engine.protocol import RunSpec
from engine.protocol.export import Verification

IMAGES: Final = 16
BATCH_SIZES: Final = (1, 3, IMAGES)
TOLERANCE: Final = 1e-4
"""Largest difference of logits, relative to the largest one if that is above 1."""
_GENERATED_SIZES: Final = ((160, 120), (23, 31), (640, 480), (97, 300))
"""Width and height in pixels."""


class Sample(NamedTuple):
    """Contents of image files to compare predictions on; ``are_real``: of the run's data set."""

    contents: tuple[bytes, ...]
    are_real: bool


def find_sample(spec: RunSpec) -> Sample:
    """Return images of a run's data set, or generated ones if it is unavailable."""
    contents: list[bytes] = []
    with contextlib.suppress(DataError, OSError):
        image_set = find_image_set(spec)
        rows = np.linspace(0, len(image_set) - 1, IMAGES).round().astype(int)
        for row in dict.fromkeys(rows.tolist()):
            with contextlib.suppress(OSError):  # unreadable: runs skip it
                content = image_set.read(row)
                decode_image(content)
                contents.append(content)
    return Sample(tuple(contents), True) if contents else Sample(_generated(), False)


def _generated() -> tuple[bytes, ...]:
    """Return images of noise, encoded."""
    generator = np.random.default_rng(0)
    contents = []
    for index in range(IMAGES):
        width, height = _GENERATED_SIZES[index % len(_GENERATED_SIZES)]
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        contents.append(file.getvalue())
    return tuple(contents)


def verify(loaded: Loaded, classifier: Classifier, sample: Sample, what: str) -> Verification:
    """Compare a loaded export with the run's network.

    Args:
        loaded: the export.
        classifier: the run's network, on the CPU.
        sample: images.
        what: name of the export, for the message.

    Raises:
        InputError: if the logits differ by more than rounding.
    """
    ours = [classifier.transform(decode_image(content)) for content in sample.contents]
    theirs = [loaded.prepare(as_rgb(content)) for content in sample.contents]
    images = torch.stack(ours)
    with torch.inference_mode():
        expected = torch.cat([classifier(part) for part in images.split(1)])
    if not expected.isfinite().all():
        raise InputError(
            f"The logits of run {classifier.card.run} are not finite (NaN or infinite), so its "
            "network cannot be used. Export another run, or another step (--at)."
        )
    logits = [loaded.logits(images[:size]) for size in BATCH_SIZES]
    difference = _largest_difference(logits, [expected[:size] for size in BATCH_SIZES])
    tolerance = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= tolerance:
        raise InputError(
            f"{what} was not written: its logits differ from the run's network by up to "
            f"{difference:.1g}, more than rounding ({tolerance:.1g})."
        )
    return Verification(
        images=len(images),
        are_real=sample.are_real,
        transform_difference=_largest_difference(theirs, ours),
        logit_difference=difference,
        logit_tolerance=tolerance,
        same_class=int((logits[-1].argmax(dim=1) == expected.argmax(dim=1)).sum()),
        batch_sizes=tuple(size for size in BATCH_SIZES if size <= len(images)),
    )


def _largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest absolute difference; NaN if there is one."""
    differences = [
        (one.double() - other.double()).abs().max()
        for one, other in zip(found, expected, strict=True)
    ]
    return float(torch.stack(differences).max())
