from vld_tui.words.sparkline import sparkline


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
