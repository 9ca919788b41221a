import itertools

import pytest

from vld_tui.views.chart import Curve, Panel, draw, nice_ticks
from vld_tui.words.text import width

STEPS = (0, 50, 100, 150, 200, 250, 300)
ID = Curve("ID", STEPS, (0.45, 0.62, 0.68, 0.70, 0.715, 0.725, 0.72))
OOD = Curve("OOD", STEPS, (0.30, 0.40, 0.46, 0.50, 0.52, 0.53, 0.55))
LOSS = Curve("training", tuple(range(10, 301, 10)), tuple(2.0 - 0.05 * i for i in range(30)))
PANELS = [
    Panel("accuracy", (ID, OOD), is_percent=True),
    Panel("loss", (LOSS,), is_percent=False, has_marks=False),
]


@pytest.mark.parametrize(("cells", "rows"), [(80, 22), (120, 40), (200, 48), (40, 16)])
def test_a_chart_stays_in_its_room(cells: int, rows: int) -> None:
    lines = draw(PANELS, selected_step=250, cells=cells, rows=rows, colour=False).splitlines()
    assert len(lines) <= rows
    assert max(width(line) for line in lines) <= cells


def test_curves_are_told_apart_without_colour() -> None:
    text = draw(PANELS, selected_step=250, cells=80, rows=22, colour=False)
    assert "\x1b" not in text
    assert text.count("●") == len(STEPS) + 1
    assert text.count("▲") == len(STEPS) + 1
    assert "accuracy at step 250 │  ● ID 72.5%  ▲ OOD 53.0%" in text
    assert "loss at step 250 │  training 0.800" in text


def test_colour_is_added_on_request() -> None:
    text = draw(PANELS, selected_step=250, cells=80, rows=22, colour=True)
    assert "\x1b[38;5;33m" in text
    assert "\x1b[38;5;208m" in text


def test_without_a_selected_step_the_latest_values_are_named() -> None:
    text = draw(PANELS[:1], selected_step=None, cells=80, rows=12, colour=False)
    assert "accuracy latest  ● ID 72.0%  ▲ OOD 55.0%" in text


def test_missing_values_leave_a_gap_and_a_single_value_is_drawn() -> None:
    gap = Curve("loss", (10, 20, 30, 40), (1.0, None, 1.0, 2.0))
    text = draw([Panel("loss", (gap,), is_percent=False)], selected_step=None, cells=60, rows=10,
                colour=False)  # fmt: skip
    assert text.count("●") == 4
    one = Curve("ID", (0,), (0.5,))
    text = draw([Panel("accuracy", (one,), is_percent=True)], selected_step=0, cells=60, rows=10,
                colour=False)  # fmt: skip
    assert text.count("●") >= 1


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    evil = Curve("a\x1b[2Jb", STEPS, ID.values)
    text = draw([Panel("accuracy", (evil,), is_percent=True)], selected_step=None, cells=60,
                rows=10, colour=False)  # fmt: skip
    assert "\x1b" not in text
    assert "a␛[2Jb" in text


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (30.0, 72.5), (0.0011, 0.0012), (5.0, 5.0), (0.0, 10_001.0)]
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float) -> None:
    ticks = nice_ticks(low, high, 6)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 7
    gaps = {round(b - a, 9) for a, b in itertools.pairwise(ticks)}
    assert len(gaps) == 1
