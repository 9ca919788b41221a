"""Images to augment."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.data import load_data
from engine.protocol import resolve_spec
from tests.engine.data.augment.reference import SIZE


@pytest.fixture(scope="package")
def images(small_emoji: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """24 emoji, six of each style, and 24 images of noise: (48, 64, 64, 3) uint8."""
    spec = resolve_spec({"data_dir": str(small_emoji), "target": "noto", "image_size": SIZE})
    data = load_data(spec, tmp_path_factory.mktemp("cache"))
    emoji = [domain.images(domain.in_indices[:6]) for domain in data.domains]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (24, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
    return torch.cat([*emoji, noise])


@pytest.fixture(scope="package")
def threads() -> Iterator[ThreadPoolExecutor]:
    """Two threads to share a batch."""
    with ThreadPoolExecutor(2) as pool:
        yield pool
