"""Synthetic images for comparisons, smooth like photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

DOMAINS = ("art", "cartoon", "photo", "sketch")
TARGET = "photo"
CLASSES = ("cat", "dog", "horse")


def smooth_image(random: np.random.Generator, width: int, height: int) -> Image.Image:
    """Return an image of colours that change slowly, with some noise."""
    coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    base = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = random.normal(0, 6, (height, width, 3))
    return Image.fromarray((np.asarray(base) + noise).clip(0, 255).astype(np.uint8))


def save_domains(
    root: Path, *, per_class: int = 10, sizes: Sequence[tuple[int, int]] = ((80, 60),)
) -> Path:
    """Write four domains of three classes as domain/class/image; return the folder.

    Each class has more of one colour.

    ``sizes``: widths and heights, used in turn.
    """
    random = np.random.default_rng(0)
    for domain in DOMAINS:
        for place, label in enumerate(CLASSES):
            folder = root / domain / label
            folder.mkdir(parents=True)
            for number in range(per_class):
                pixels = np.array(smooth_image(random, *sizes[number % len(sizes)]))
                pixels[..., place] = 128 + pixels[..., place] // 2
                Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return root
