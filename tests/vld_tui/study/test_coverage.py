"""The simulated coverage of intervals, and the table of it in the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from benchmarks.coverage import CASES, TARGETS, monte_carlo_error, simulate
from vld_tui.report.differences import OVER_TARGETS

DOCS: Final = Path(__file__).parents[3] / "docs" / "report.md"
DRAWS: Final = 1500
BOOTSTRAP_DRAWS: Final = 60


def documented() -> dict[tuple[str, int], list[float]]:
    """Return the shares in the documentation's table, by case and number of targets."""
    rows = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in CASES and len(cells) == 5:
            shares = [float(re.split(" ± ", cell)[0]) / 100 for cell in cells[2:]]
            rows[cells[0], int(cells[1])] = shares
    return rows


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_the_documented_shares_are_those_of_the_simulation(case: str, targets: int) -> None:
    over_seeds, over_targets, bootstrap = documented()[case, targets]
    found = simulate(case, targets, DRAWS, BOOTSTRAP_DRAWS)
    for share, expected, draws in (
        (found.over_seeds, over_seeds, DRAWS),
        (found.over_targets, over_targets, DRAWS),
        (found.bootstrap, bootstrap, BOOTSTRAP_DRAWS),
    ):
        assert share == pytest.approx(expected, abs=4 * monte_carlo_error(expected, draws))


def test_the_interval_over_seeds_keeps_its_level_where_those_over_targets_do_not() -> None:
    for over_seeds, over_targets, bootstrap in documented().values():
        assert over_seeds < 0.07
        assert over_targets >= 0.045
        assert bootstrap >= 0.045
    worst = max(over_targets for _, over_targets, _ in documented().values())
    assert worst > 0.3


def test_the_caution_names_what_was_simulated() -> None:
    (named,) = re.findall(r"missed the true value in (\d+)% of simulated", OVER_TARGETS)
    shares = [documented()[case, 4][1] for case in CASES if "shift" in case or "corr" in case]
    assert {round(100 * share) for share in shares} == {int(named)}
