"""Wrong labels on purpose: some of the real images are in the folder of another class."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

FLIPPED: Final = "flipped-"
"""How the names of files with a wrong label begin."""


def flip_labels(images: Path, folder: Path) -> Path:
    """Copy images, of which one of each domain and class goes to the folder of another class."""
    shutil.copytree(images, folder)
    for domain in sorted(folder.iterdir()):
        classes = sorted(domain.iterdir())
        chosen = [sorted(each.iterdir())[5] for each in classes]
        for file, other in zip(chosen, [*classes[1:], classes[0]], strict=True):
            file.rename(other / f"{FLIPPED}{file.name}")
    return folder
