"""Fixtures of the tests on data."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.engine.data.image_folders import MakeFolder, fill_folder


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that fills a folder with images of noise."""
    return partial(fill_folder, tmp_path / "images")
