"""What is said where a few validation images select the step."""

from __future__ import annotations

import pytest

from engine.protocol.intervals import uncertain_selection


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (
            {"a": 33, "b": 33, "c": 33},
            "99 validation images: ID accuracy, and any selection based on it, is uncertain "
            "by up to ±10 points (95% interval).",
        ),
        ({"a": 1}, "1 validation image: ID accuracy, and any selection based on it, is uncertain "
         "by up to ±45 points (95% interval)."),
        (
            {"a": 400, "b": 12},
            "Few validation images: b has 12, so its accuracy is uncertain by up to ±25 points; ID "
            "accuracy, and any selection based on it, is uncertain by up to ±13 points (95% "
            "interval).",
        ),
        ({"a": 61, "b": 61}, ""),
        ({"a": 100}, ""),
        ({}, ""),
        ({"a": 0, "b": 5}, ""),
    ],
)  # fmt: skip
def test_few_images_in_all_or_of_one_domain(held_out: dict[str, int], said: str) -> None:
    assert uncertain_selection(held_out) == said
