"""Heat maps as lines of text."""

from __future__ import annotations

import itertools

import pytest
from rich.color import Color

from vld_tui.dashboard.draw.heat_map import HeatCell, HeatMap
from vld_tui.views.heat_colours import STEPS, contrast, heat_style
from vld_tui.views.legend import Line
from vld_tui.words.text import width


def make_map(rows: int = 2, columns: int = 3, cursor: tuple[int, int] = (0, 0)) -> HeatMap:
    return HeatMap(
        title="OOD accuracy",
        corner="rate",
        rows=tuple(f"r{row}" for row in range(rows)),
        columns=tuple(f"column {column}" for column in range(columns)),
        cells=tuple(
            tuple(HeatCell(f"{row}{column}.0±0.5", "×2", row / rows) for column in range(columns))
            for row in range(rows)
        ),
        low="10.0",
        high="20.0",
        cursor=cursor,
    )


def texts(lines: list[Line]) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def drawn(heat_map: HeatMap, cells: int, rows: int) -> list[str]:
    return texts(list(heat_map.lines(cells, rows)))


def test_every_cell_tells_its_value_without_colour() -> None:
    lines = drawn(make_map(), 80, 8)
    assert lines[0].startswith("OOD accuracy   10.0 ")
    assert lines[0].endswith(" 20.0")
    assert lines[1].split() == ["rate", "column", "0", "column", "1", "column", "2"]
    (first,) = (line for line in lines if line.startswith("r0"))
    assert first.split("▐")[1].split("▌")[0].strip() == "00.0±0.5 ×2", "the cursor is around it"
    assert "02.0±0.5 ×2" in first
    assert any("11.0±0.5 ×2" in line for line in lines)


@pytest.mark.parametrize("size", [(20, 3), (40, 5), (80, 24), (200, 50), (21, 100)])
def test_it_never_takes_more_room_than_there_is(size: tuple[int, int]) -> None:
    lines = drawn(make_map(12, 9, (11, 8)), *size)
    assert len(lines) <= max(3, size[1])
    assert all(width(line) <= size[0] for line in lines)


def test_cells_are_as_high_as_there_is_room_for() -> None:
    assert sum("▐" in line for line in drawn(make_map(), 80, 6)) == 1
    assert sum("▐" in line for line in drawn(make_map(), 80, 8)) == 3
    assert sum("▐" in line for line in drawn(make_map(), 80, 40)) == 5


def test_what_finds_no_room_is_a_page_away() -> None:
    heat_map = make_map(10, 10)
    lines = drawn(heat_map, 80, 6)
    assert "rows 1–4 of 10  columns 1–5 of 10" in lines[0]
    lines = drawn(heat_map.at(9, 9), 80, 6)
    assert "rows 7–10 of 10  columns 6–10 of 10" in lines[0]
    assert "▐99.0±0.5 ×2▌" in lines[-1].replace(" ▌", "▌").replace("▐ ", "▐")


def test_the_cursor_stays_on_the_map() -> None:
    heat_map = make_map()
    assert heat_map.moved(-1, -1).cursor == (0, 0)
    assert heat_map.moved(1, 1).cursor == (1, 1)
    assert heat_map.at(7, 7).cursor == (1, 2)


@pytest.mark.parametrize("size", [(80, 4), (80, 24), (30, 4)])
def test_the_place_below_the_mouse_is_the_one_that_is_drawn(size: tuple[int, int]) -> None:
    heat_map = make_map(cursor=(1, 2))
    lines = drawn(heat_map, *size)
    y = next(y for y, line in enumerate(lines) if "12.0" in line)
    x = lines[y].index("12.0")
    assert heat_map.cell_at(x, y, *size) == (1, 2)
    assert heat_map.cell_at(0, y, *size) is None
    assert heat_map.cell_at(x, 0, *size) is None
    assert heat_map.cell_at(x, len(lines) + 5, *size) is None


def test_nothing_is_drawn_of_nothing() -> None:
    assert drawn(HeatMap(title="nothing yet"), 80, 24) == ["nothing yet"]
    assert HeatMap().cell_at(1, 1, 80, 24) is None


def test_a_cell_without_a_share_has_no_colour() -> None:
    heat_map = HeatMap("t", "c", ("r",), ("a", "b"), ((HeatCell("·"), HeatCell("1", "", 1.0)),))
    line = next(line for line in heat_map.lines(60, 3) if line[0].text.startswith("r"))
    colours = {segment.text.strip(): segment.style and segment.style.bgcolor for segment in line}
    assert colours["·"] is None
    assert colours["1"] is not None


def test_text_reads_well_on_every_colour_of_the_scale() -> None:
    for step in range(STEPS + 1):
        style = heat_style(step / STEPS)
        assert style.color is not None
        assert style.bgcolor is not None
        text, back = style.color.get_truecolor(), style.bgcolor.get_truecolor()
        assert contrast(text, back) >= 4.5


def test_the_scale_grows_lighter_in_equal_steps() -> None:
    black = Color.parse("#000000").get_truecolor()
    lightness = []
    for step in range(9):
        back = heat_style(step / 8).bgcolor
        assert back is not None
        luminance = contrast(back.get_truecolor(), black) * 0.05 - 0.05
        lightness.append(116 * luminance ** (1 / 3) - 16)
    steps = [later - earlier for earlier, later in itertools.pairwise(lightness)]
    assert all(6 < step < 14 for step in steps)
