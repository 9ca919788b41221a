"""A home in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from vld_tui.home import Home, open_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")
