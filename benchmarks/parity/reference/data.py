"""The image processing of DomainBed and of the paper's authors, in our own words.

DomainBed: facebookresearch/DomainBed. The authors: TjuJianyu/verylarge_dropout, a fork of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import transforms
from torchvision.datasets import ImageFolder

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def seed_hash(*values: Any) -> int:
    """Hash values to a seed: DomainBed, ``domainbed/lib/misc.py``, ``seed_hash``."""
    hashed = hashlib.md5(repr(values).encode("utf-8"), usedforsecurity=False)
    return int.from_bytes(hashed.digest(), "big") % 2**31


def split(images: int, held_out: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the keys of both parts: DomainBed, ``domainbed/lib/misc.py``, ``split_dataset``."""
    keys = list(range(images))
    np.random.RandomState(seed).shuffle(keys)
    return keys[:held_out], keys[held_out:]


def in_and_out(
    images: int, holdout_fraction: float, trial_seed: int, domain: int, *, is_target: bool
) -> tuple[list[int], list[int]]:
    """Return a domain's ``in`` and ``out`` keys: DomainBed, ``domainbed/scripts/train.py``.

    The rest of a target is split again for domain adaptation, and nothing of it is held out.
    """
    seed = seed_hash(trial_seed, domain)
    out, rest = split(images, int(images * holdout_fraction), seed)
    if is_target:
        _, again = split(len(rest), 0, seed)
        rest = [rest[key] for key in again]
    return rest, out


def domain_folders(root: Path) -> list[ImageFolder]:
    """Return the domains in order: ``datasets.py``, ``MultipleEnvironmentImageFolder``."""
    return [ImageFolder(str(path)) for path in sorted(root.iterdir()) if path.is_dir()]


def evaluation_transform(size: int) -> Any:
    """Return the transform without augmentation, of the same class."""
    return transforms.Compose([transforms.Resize((size, size)), *_to_input()])


def training_transform(size: int) -> Any:
    """Return the transform with augmentation, of the same class.

    It is applied to all images of the sources, their ``out`` split included.
    """
    return transforms.Compose([*augmentation(size).transforms, *_to_input()])


def augmentation(size: int) -> Any:
    """Return the transforms before the conversion to tensors."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.7, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.3, 0.3, 0.3, 0.3),
            transforms.RandomGrayscale(),
        ]
    )


def _to_input() -> list[Any]:
    return [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
