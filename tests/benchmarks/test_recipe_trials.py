"""What the trials of the default recipe decide, from made-up runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.recipe import (
    AVERAGED,
    CANDIDATES,
    OWN,
    REFERENCE,
    VARIANTS,
    Design,
    Predictor,
    Row,
    becomes_balanced,
    decided_steps,
    decisions,
    designs,
    differences,
    of_last,
    of_left_out,
    read_csv,
    table,
    write_csv,
)
from engine.protocol import resolve_spec

Gains = dict[Predictor, float]


def made_up(gains: Gains, in_id: float = 0.0, spread: float = 0.0) -> dict[Design, list[Row]]:
    """Return runs that reach 50% on the domain left out, and ``gains`` more at the selected step.

    ``in_id`` is what all but the reference gain in ID accuracy, ``spread`` the difference between
    gains of domains.
    """
    made = {}
    for number, design in enumerate(designs()):
        steps = VARIANTS[design.variant].steps
        rows = []
        for arm in (OWN, AVERAGED):
            gain = gains.get((design.variant, arm), -0.25)
            gain += spread * (number % 4 - 1.5)
            best = 0.5 if (design.variant, arm) == REFERENCE else 0.5 + in_id
            rows += [
                Row(arm, steps // 2, best, 0.5 + gain, 0.5 + gain),
                Row(arm, steps, best, 0.0, 0.0),
            ]
        made[design] = rows
    return made


AS_GOOD: Gains = {REFERENCE: 0.0, ("rising", OWN): 0.0}


def test_the_first_step_of_the_best_id_accuracy_counts_on_the_domain_left_out() -> None:
    results = made_up({REFERENCE: 0.0, ("rising", OWN): 0.125})

    assert differences(results, ("rising", OWN), REFERENCE, of_left_out) == [0.125] * 4
    assert differences(results, ("rising", OWN), REFERENCE, of_last) == [0.0] * 4


@pytest.mark.parametrize(
    ("results", "decided"),
    [
        (made_up(AS_GOOD), ("rising", OWN)),
        (made_up({REFERENCE: 0.0}), REFERENCE),
        (made_up({**AS_GOOD, ("100", AVERAGED): 0.125}), ("100", AVERAGED)),
        (made_up({**AS_GOOD, ("rising", OWN): -0.011}), REFERENCE),
        (made_up({**AS_GOOD, ("rising", OWN): -0.009}), ("rising", OWN)),
        (made_up(AS_GOOD, in_id=-0.011), REFERENCE),
        (made_up(AS_GOOD, in_id=-0.009), ("rising", OWN)),
        (made_up({REFERENCE: 0.0, ("erm-100", OWN): 0.5, ("200", AVERAGED): 0.5}), REFERENCE),
    ],
)
def test_fewer_steps_replace_the_default_only_where_they_are_as_good(
    results: dict[Design, list[Row]], decided: Predictor
) -> None:
    assert decided_steps(results) == decided


def test_what_differs_between_domains_is_not_as_good_for_sure() -> None:
    results = made_up(AS_GOOD)
    wide = made_up(AS_GOOD, spread=0.01)
    mixed = {design: wide[design] if design.variant == "rising" else results[design]
             for design in results}  # fmt: skip

    assert decided_steps(mixed) == REFERENCE


def test_a_variant_without_all_its_runs_is_not_considered() -> None:
    results = made_up(AS_GOOD)
    del results[Design("rising", "fxemoji", 1)]

    assert decided_steps(results) == REFERENCE
    assert next(decisions(results)) == "Runs are missing of: 100 steps, λ from 0.5."


@pytest.mark.parametrize(("gain", "becomes"), [(0.05, True), (0.0, False), (-0.05, False)])
def test_balanced_becomes_the_default_only_where_it_is_better(gain: float, becomes: bool) -> None:
    assert becomes_balanced(made_up({REFERENCE: 0.0, ("balanced", OWN): gain})) is becomes


def test_it_does_not_where_accuracy_falls() -> None:
    results = made_up({REFERENCE: 0.0, ("balanced", OWN): 0.05})
    fallen = {
        design: [row._replace(left_out=0.4) if design.variant == "balanced" else row
                 for row in rows]
        for design, rows in results.items()
    }  # fmt: skip

    assert not becomes_balanced(fallen)


def test_the_default_recipe_is_as_the_measurements_decided() -> None:
    measured = read_csv(Path(__file__).parents[2] / "benchmarks" / "recipe.csv")
    spec = resolve_spec({})

    assert (decided_steps(measured) == REFERENCE) is (spec.steps == VARIANTS["200"].steps)
    assert becomes_balanced(measured) is (spec.sampling == "balanced")


def test_what_was_measured_is_written_and_read_again(tmp_path: Path) -> None:
    results = made_up(AS_GOOD)
    write_csv(tmp_path / "rows.csv", results)

    assert read_csv(tmp_path / "rows.csv") == results
    rows = [line.split("|")[1].strip() for line in table(results)]
    assert "100 steps, λ from 0.5" in rows
    assert len([each for each in CANDIDATES if each[1] == AVERAGED]) == 1
