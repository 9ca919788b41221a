from __future__ import annotations

import pytest

from engine.text import format_size


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0.0 MiB"),
        (150_000, "0.1 MiB"),
        (160 * 2**20, "160.0 MiB"),
        (2**29 - 2**16, "511.9 MiB"),
        (2**29, "0.5 GiB"),
        (2.5 * 2**30, "2.5 GiB"),
        (3 * 2**40, "3,072.0 GiB"),
    ],
)
def test_sizes_have_a_unit_in_which_they_are_short(size_bytes: float, words: str) -> None:
    assert format_size(size_bytes) == words
