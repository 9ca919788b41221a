"""Fixtures shared by the tests of the engine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.engine.datasets.image_folders import MakeFolder, fill_folder


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that fills a folder with images of noise."""
    return partial(fill_folder, tmp_path / "images")
