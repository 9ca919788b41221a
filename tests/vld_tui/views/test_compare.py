"""Runs side by side."""

from __future__ import annotations

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.study.results.groups import group_by_seed
from vld_tui.views.compare import INTERVALS, compare, compare_lines, section_from
from vld_tui.words.text import width

DOMAINS = {"noto": 0.8, "fluent-mono": 0.5}


def runs() -> list[str]:
    known = [
        make_run(
            at,
            name=f"{'erm' if rate == 0 else 'drop'}-s{seed}",
            spec=resolve_spec({"dropout_rate": rate, "seed": seed, "target": "fluent-mono"}),
            ood_accuracy=0.5 + seed / 10 + rate / 10,
            domains=DOMAINS,
            loss=1.25,
            wall_s=60.0,
            collapsed=rate > 0 and seed == 1,
        )
        for at, (rate, seed) in enumerate([(0.0, 0), (0.0, 1), (0.9, 0), (0.9, 1)])
    ]
    return list(compare_lines(group_by_seed(known), cells=None))


def test_only_what_differs_stands_above_the_results() -> None:
    lines = [line.split() for line in runs()]
    assert lines[0] == ["erm", "×2", "drop", "×2"]
    assert lines[1] == ["dropout", "0", "0.9"]
    assert lines[2] == ["status", "2", "finished", "1", "finished,", "1", "collapsed"]
    assert lines[3] == ["ID", *["70.0%", "(sd", "0.0,", "n=2)"] * 2]
    assert lines[4][0] == "OOD"
    assert lines[4][1::4][:2] == ["55.0%", "64.0%"]


def test_the_target_is_named_and_the_interval_explained() -> None:
    lines = runs()
    assert any(line.startswith("  fluent-mono (target)") for line in lines)
    assert any(line.startswith("  noto  ") for line in lines)
    assert lines[-1] == INTERVALS


def test_names_from_outside_are_shown_as_they_are() -> None:
    odd = [make_run(0, name="[b]a\x1b[2J"), make_run(1, spec=resolve_spec({"lr": 0.5}))]
    text = "\n".join(compare_lines(group_by_seed(odd), cells=60))
    assert "[b]a␛[2J" in text
    assert INTERVALS not in text


def test_three_seeds_have_an_interval_and_two_their_deviation() -> None:
    known = [
        make_run(
            at,
            spec=resolve_spec({"dropout_rate": rate, "seed": seed}),
            ood_accuracy=0.5 + seed / 10,
        )
        for at, (rate, seed) in enumerate([(0.0, 0), (0.0, 1), (0.0, 2), (0.9, 0), (0.9, 1)])
    ]
    lines = list(compare_lines(group_by_seed(known), cells=None))
    ood = next(line for line in lines if line.startswith("OOD "))
    assert ood.split() == ["OOD", "60.0%", "±", "24.8", "55.0%", "(sd", "7.1,", "n=2)"]
    assert lines[-1] == INTERVALS


def test_steps_of_several_runs_are_those_of_runs() -> None:
    known = [
        make_run(at, spec=resolve_spec({"seed": at}), selected_step=step)
        for at, step in enumerate([20, 20, 0])
    ]
    lines = list(compare_lines(group_by_seed(known), cells=None))
    steps = next(line for line in lines if line.startswith("selected step"))
    assert steps.split()[2:] == ["0–20"]


def test_a_mean_over_fewer_seeds_than_others_says_so() -> None:
    measures = {"balanced_accuracy": (0.5, 0.4)}
    known = [
        make_run(
            seed,
            spec=resolve_spec({"seed": seed}),
            measures=measures if seed == 0 else {},
            domains={"noto": 0.5} if seed < 4 else {},
        )
        for seed in range(5)
    ]
    table = compare(group_by_seed(known))
    cells = {row[0].strip(): row[1] for row in table.rows}
    assert cells["OOD"] == "50.0% ± 0.0"
    assert cells["OOD balanced"] == "40.0% (n=1 of 5)"
    assert cells["noto"] == "50.0% ± 0.0 (n=4 of 5)"


@pytest.mark.parametrize("cells", [40, 60, 80, 120, 200])
def test_columns_that_do_not_fit_follow_below(cells: int) -> None:
    known = [
        make_run(at, name=f"run-{1000 + at}", spec=resolve_spec({"lr": (at + 1) / 1000}))
        for at in range(16)
    ]
    lines = list(compare_lines(group_by_seed(known), cells=cells))
    assert all(width(line) <= cells for line in lines)
    names = [word for line in lines for word in line.split() if word.startswith("run-")]
    assert names == [run.name for run in known]
    blocks = sum(line.split()[:1] == ["lr"] for line in lines)
    assert sum("of 16" in line for line in lines) == (blocks if blocks > 1 else 0)


def test_long_values_are_folded_rather_than_cut() -> None:
    path = "/data/of/someone/with/a/long/path/to/images/" + "PACS"
    known = [
        make_run(at, spec=resolve_spec({"dataset": "PACS", "data_dir": each, "target": "photo"}))
        for at, each in enumerate((path, f"{path}2"))
    ]
    table = compare(group_by_seed(known))
    section = section_from(table, 0, 80)
    texts = ["".join(line[1 + at].strip() for line in section.lines) for at in range(2)]
    assert path in texts[0]
    assert f"{path}2" in texts[1]


def test_differences_have_a_minus_sign_and_accuracies_a_unit() -> None:
    lines = [line.split() for line in runs()]
    assert next(line for line in lines if line[:3] == ["OOD", "−", "ID"])[3] == "−15.0"
    assert next(line for line in lines if line[:2] == ["selected", "step"]) == [
        "selected", "step", "150", "150",
    ]  # fmt: skip
