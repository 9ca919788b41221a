"""The line of the evaluations whose predictions are stored."""

from __future__ import annotations

import pytest

from vld_tui.views.step_strip import ONLY_SELECTED, ShownStep, step_strip

STEPS = (0, 10, 20, 30, 40)


def shown(step: int, **changes: object) -> ShownStep:
    about = {"steps": STEPS, "name": f"step {step}", "selected": 30, "evaluations": 5}
    return ShownStep(step=step, **(about | changes))  # type: ignore[arg-type]


def test_it_names_the_step_and_marks_the_selected_one() -> None:
    strip = step_strip(shown(10), 80)
    assert strip.line.plain.startswith("step 10  ·▲·◆·  2 of 5 · ◆ selected: 30 (key 0)")
    assert step_strip(shown(30), 80).line.plain.startswith("step 30  ···◆·  4 of 5 · ◆ selected ·")


def test_a_cell_is_the_nearest_step() -> None:
    strip = step_strip(shown(10), 80)
    assert [strip.at(cell) for cell in (8, 9, 13, 14)] == [None, 0, 4, None]


@pytest.mark.parametrize("cells", [20, 40, 80, 200])
def test_any_number_of_steps_fits(cells: int) -> None:
    steps = range(0, 10_000, 10)
    strip = step_strip(shown(5_000, steps=steps, evaluations=2_000), cells)
    assert strip.at(strip.start) is not None
    assert len(strip.line.plain) <= 62 + len(strip.line.plain.split("  ")[-1]) + 12
    assert "501 of 1,000 stored, of 2,000 evaluations" in strip.line.plain


def test_runs_of_earlier_versions_say_what_is_missing() -> None:
    assert step_strip(shown(30, steps=(30,)), 80).line.plain == ONLY_SELECTED
    assert not step_strip(shown(30, steps=(30,), evaluations=1), 80).line.plain
    assert not step_strip(ShownStep(), 80).line.plain
