"""Which images the stages of a network are read on."""

from __future__ import annotations

import pytest
import torch

from engine.diagnose.stages import sample_rows


@pytest.mark.parametrize(("images", "most"), [(0, 5), (4, 5), (5, 5), (100, 5)])
def test_a_sample_is_spread_over_all_images(images: int, most: int) -> None:
    rows = torch.arange(images) * 3
    found = sample_rows(rows, most)
    assert len(found) == min(images, most)
    assert len(found.unique()) == len(found)
    assert set(found.tolist()) <= set(rows.tolist())
    assert found[:1].tolist() == rows[:1].tolist()
    assert found[-1:].tolist() == rows[-1:].tolist()
