from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of added data sets."""
    return tmp_path / "home" / "data"
