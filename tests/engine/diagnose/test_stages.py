"""Which images the stages of a network are read on."""

from __future__ import annotations

import pytest

from engine.diagnose.stages import evenly_spaced


@pytest.mark.parametrize(("images", "most"), [(0, 5), (4, 5), (5, 5), (100, 5)])
def test_a_sample_is_spread_over_all_images(images: int, most: int) -> None:
    found = evenly_spaced(images, most)
    assert len(found) == min(images, most)
    assert len(found.unique()) == len(found)
    assert set(found.tolist()) <= set(range(images))
    assert found[:1].tolist() == [0][:images]
    assert found[-1:].tolist() == [images - 1][:images]
