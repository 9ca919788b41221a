"""The tables of docs/does-it-pay.md."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import pays
from benchmarks.pays import Case, change, change_table, chosen, read_runs

CASE = Case("pets", "sketch", "uniform")


def write_runs(path: Path, rows: list[tuple[float, float, int, float, float]]) -> Path:
    """Write a report's runs: rate, learning rate, seed, and ID and OOD accuracy."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, ["dataset", "target", "dropout_rate", "lr", "arm", "seed", "steps",
                   *pays.MEASURES.values()],
        )  # fmt: skip
        writer.writeheader()
        for rate, lr, seed, at_home, away in rows:
            values = {
                "id_accuracy": at_home,
                "id_balanced_accuracy": at_home,
                "ood_accuracy": away,
                "ood_balanced_accuracy": away / 2,
            }
            known = {"dataset": CASE.data, "target": CASE.target, "arm": "own", "steps": 10}
            writer.writerow(known | {"dropout_rate": rate, "lr": lr, "seed": seed} | values)
    return path


def test_a_learning_rate_is_chosen_by_id_accuracy_and_changes_are_paired_by_seed(
    tmp_path: Path,
) -> None:
    rows = [
        (0.0, 0.1, 0, 0.70, 0.40), (0.0, 0.1, 1, 0.72, 0.50), (0.0, 0.1, 2, 0.74, 0.60),
        (0.0, 0.2, 0, 0.60, 0.99), (0.0, 0.2, 1, 0.60, 0.99), (0.0, 0.2, 2, 0.60, 0.99),
        (0.9, 0.1, 0, 0.50, 0.99), (0.9, 0.1, 1, 0.50, 0.99),
        (0.9, 0.2, 0, 0.80, 0.43), (0.9, 0.2, 1, 0.80, 0.52), (0.9, 0.2, 2, 0.10, 0.61),
    ]  # fmt: skip
    runs = read_runs(write_runs(tmp_path / "runs.csv", rows))
    picked = chosen(runs)
    assert {run.lr for run in picked[CASE, 0.0].values()} == {0.1}
    assert {run.lr for run in picked[CASE, 0.9].values()} == {0.2}, "by the seeds that both have"
    found = change(picked, CASE, 0.9, "ood")
    assert found is not None
    assert found.mean == pytest.approx(2.0)
    assert found.n == 3
    assert found.half_interval == pytest.approx(4.30265273 / 3**0.5)
    assert "| OOD | 50.0 | +2.0 ± 2.5 |" in change_table(runs)
    assert "| OOD balanced | 25.0 | +1.0 ± 1.2 |" in change_table(runs)


def test_a_change_that_excludes_zero_is_bold_and_two_seeds_have_no_interval(tmp_path: Path) -> None:
    rows = [(rate, 0.1, seed, 0.5, 0.4 + rate / 10 + seed / 1000 * (1 + rate))
            for rate in (0.0, 0.9) for seed in range(3)]  # fmt: skip
    assert "**+9.1 ± 0.2**" in change_table(read_runs(write_runs(tmp_path / "a.csv", rows)))
    two = [row for row in rows if row[2] < 2]
    assert "+9.0 (n = 2)" in change_table(read_runs(write_runs(tmp_path / "b.csv", two)))


@pytest.mark.parametrize("page", pays.PAGES, ids=lambda page: page.name)
def test_the_tables_of_the_pages_are_those_of_the_kept_runs(page: Path) -> None:
    text = page.read_text()
    assert any(table in text for table in pays.tables().values())
    assert pays.fill_tables(text, pays.tables()) == text
