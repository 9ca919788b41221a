"""Rows of the parity table: the engine against DomainBed's and the paper's authors' protocol."""

from __future__ import annotations

import pytest

from benchmarks.parity.page import PAGE
from benchmarks.parity.row import Check
from benchmarks.parity.rows import CHECKS, run_check

FAST = {
    "seeds", "split", "lacking-class", "sixteen-bits", "colours", "masks-by-seed", "several-masks",
    "no-masks-at-evaluation", "update-fp32", "fields", "learning-rates", "evaluations",
    "splits-of-seeds", "uniform-soup", "greedy-soup-by-algorithm", "interpolation", "clouds",
    "choices", "differences",
}  # fmt: skip
"""Rows that take a second at most; `make test-slow` computes the others."""

ALL = {name: check for checks in CHECKS.values() for name, check in checks.items()}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=name, marks=[] if name in FAST else [pytest.mark.slow])
        for name, check in ALL.items()
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_row_finds_what_it_must_and_is_on_the_page(check: Check) -> None:
    row = run_check(check)
    assert row.holds, row.result
    assert f"| {row.what} |" in PAGE.read_text(encoding="utf-8")


def test_every_fast_row_exists() -> None:
    assert ALL.keys() >= FAST


@pytest.mark.filterwarnings("ignore")
def test_a_row_finds_the_same_whenever_it_is_computed() -> None:
    check = ALL["several-masks"]
    assert run_check(check) == run_check(check)
