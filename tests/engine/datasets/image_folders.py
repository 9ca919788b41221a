"""Small folders of images made on the spot."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

MakeFolder = Callable[..., Path]
"""Like :func:`fill_folder` without its root."""


def fill_folder(
    root: Path,
    domains: Mapping[str, Sequence[str]],
    count: int = 6,
    size: tuple[int, int] = (40, 36),
    seed: int = 0,
) -> Path:
    """Make ``domain/class/0.png`` and on: ``count`` images of noise in each class."""
    random = np.random.default_rng(seed)
    for domain, classes in domains.items():
        for name in classes:
            folder = root / domain / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def fill_paths(root: Path, *paths: str) -> Path:
    """Make an image at each path below a root, all of them different."""
    for number, path in enumerate(paths):
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number % 256, number // 256, 7)).save(place, format="PNG")
    return root


def spread(*folders: str, count: int = 2) -> list[str]:
    """Return ``count`` paths of images in each folder; ``{a,b}`` stands for several names."""
    paths = []
    for folder in folders:
        options = [part.strip("{}").split(",") for part in folder.split("/")]
        for parts in itertools.product(*options):
            paths += ["/".join((*parts, f"{number}.png")) for number in range(count)]
    return paths
