from __future__ import annotations

import pytest

from vld_tui.words.numbers import (
    age,
    decimal,
    duration,
    in_unit,
    magnitude,
    percent,
    plain_number,
    plural,
    rate,
    signed,
    signed_points,
    size,
    sparkline,
)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (-3, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (163, "2m 43s"),
        (3600, "1h 00m"),
        (11_400, "3h 10m"),
        (187_200, "2d 4h"),
    ],
)
def test_duration(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(5, "5s"), (60, "1m"), (7199, "1h"), (86_400 * 12, "12d"), (86_400 * 1109, "3y"), (-5, "0s")],
)
def test_age(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_numbers_that_are_not_known_are_a_dash() -> None:
    assert {percent(None), decimal(None), rate(None), magnitude(None), size(None)} == {"–"}


def test_numbers() -> None:
    assert percent(0.7249) == "72.5%"
    assert percent(1.0) == "100.0%"
    assert decimal(0.12345) == "0.123"
    assert [rate(1.234), rate(58.04), rate(1234.5)] == ["1.23", "58.0", "1,234"]
    assert [*map(plain_number, (0.01234, -0.5, 1.234, 69.14, 484.0, 7065.4, None))] == [
        "0.012", "-0.500", "1.23", "69.1", "484", "7,065", "–",
    ]  # fmt: skip
    assert (in_unit(0.5, "share"), in_unit(0.5, "number")) == ("50.0%", "0.500")
    assert (in_unit(-0.5, "share"), in_unit(-0.5, "number")) == ("−50.0%", "−0.500")
    assert [magnitude(950), magnitude(3_413_024), magnitude(2_000_000_000)] == [
        "950",
        "3.4M",
        "2.0B",
    ]
    assert [size(512), size(17_825_792), size(3 * 2**40)] == ["512 B", "17.0 MiB", "3.0 TiB"]
    assert [plural(1, "run"), plural(1200, "run")] == ["1 run", "1,200 runs"]
    assert [plural(1, "class"), plural(2, "class")] == ["1 class", "2 classes"]


def test_values_span_the_blocks() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 20) == "▁▂▃▄▅▆▇█"


def test_missing_values_are_blank_and_constant_ones_half_high() -> None:
    assert sparkline([0.0, None, 1.0], 5) == "▁ █"
    assert sparkline([2.0, 2.0, None], 5) == "▄▄ "
    assert sparkline([None, None], 5) == "  "
    assert sparkline([], 5) == ""


def test_many_values_are_averaged_into_the_cells() -> None:
    assert sparkline([0, 0, 4, 4, 7, 7], 3) == "▁▅█"
    assert len(sparkline(list(range(1000)), 17)) == 17


def test_lines_on_one_scale_are_comparable_and_leave_a_gap_between_them() -> None:
    assert sparkline([0.0, 0.5, 1.0], 8, (0.0, 1.0)) == "▁▄▇"
    assert sparkline([0.4, 0.5], 8, (0.0, 1.0)) == "▃▄"
    assert sparkline([0.4, None], 8, (0.4, 0.4)) == "▄ "


def test_differences_have_a_minus_sign_and_zero_has_none() -> None:
    assert [signed(each) for each in (-1.0, 2.25, 0.0, -0.04, None)] == [
        "−1.0", "+2.2", "0.0", "0.0", "–",
    ]  # fmt: skip
    assert signed_points(-0.009) == "−0.9"
