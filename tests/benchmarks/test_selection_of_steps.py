"""What selecting the step by plain or by augmented ID accuracy is worth, from made-up runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.selection import (
    Design,
    Row,
    decide,
    decisions_by_target,
    designs,
    differences_of_runs,
    read_csv,
    write_csv,
)
from engine.protocol import resolve_spec

EARLY = Row(0, plain_id=0.7, augmented_id=0.4, first=0.25, second=0.5)


def made_up(gain: float) -> dict[Design, list[Row]]:
    """Return runs whose plain ID is best at step 0 and whose augmented ID is best at the end.

    The domains left out are better there by ``gain``, a little less the later the run.
    """
    made = {}
    for number, design in enumerate(designs()):
        more = gain - number / 1024
        end = Row(design.steps, 0.7, 0.6, EARLY.first + more, EARLY.second + more)
        made[design] = [EARLY, end]
    return made


def test_a_difference_is_that_of_the_first_best_steps_on_the_domains_left_out() -> None:
    design = Design("emoji", "fluent", "noto", 48, 0)
    rows = [EARLY, Row(24, 0.7, 0.6, 0.5, 0.75), Row(48, 0.6, 0.6, 0.9, 0.9)]

    assert differences_of_runs({design: rows}) == {design: (0.25 + 0.25) / 2}


@pytest.mark.parametrize(("gain", "becomes"), [(0.125, True), (-0.125, False), (0.0, False)])
def test_augmented_id_becomes_the_default_only_where_it_is_clearly_better(
    gain: float, becomes: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decide(made_up(gain)) is becomes
    assert "All 12 pairs" in capsys.readouterr().out


def test_it_does_not_become_the_default_where_it_is_worse_at_the_default_number_of_steps() -> None:
    worse = {
        design: rows if design.steps == 48 else [EARLY, rows[-1]._replace(first=0.2, second=0.4)]
        for design, rows in made_up(0.125).items()
    }

    assert not decide(worse)


def test_the_accuracy_of_a_target_is_not_in_its_own_decision() -> None:
    unread = made_up(0.125)
    for design, (start, end) in unread.items():
        if design.first == "fluent":
            unread[design] = [start, end._replace(first=0.0)]

    before, after = decisions_by_target(made_up(0.125)), decisions_by_target(unread)

    changed = {target for target in before if before[target] != after[target]}
    assert changed == {("emoji", "fluent-mono"), ("emoji", "noto"), ("emoji", "twemoji")}


def test_the_default_recipe_is_as_the_measurement_decided() -> None:
    measured = Path(__file__).parents[2] / "benchmarks" / "selection.csv"

    assert resolve_spec({}).augment_validation is decide(read_csv(measured))


def test_what_was_measured_is_written_and_read_again(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", made_up(0.125))

    assert read_csv(tmp_path / "rows.csv") == made_up(0.125)
