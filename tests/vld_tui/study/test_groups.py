"""Runs that differ in nothing but their seeds belong together."""

from __future__ import annotations

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.runs.run import Run
from vld_tui.study.results.groups import differing_fields, group_by_seed, group_labels


def run(index: int, *, ood: float | None = 0.5, **fields: object) -> Run:
    return make_run(index, spec=resolve_spec(fields), ood_accuracy=ood)


def ood(run: Run) -> float | None:
    return run.ood_accuracy


def test_seeds_of_one_configuration_are_one_group_in_order_of_the_first() -> None:
    runs = [
        run(0, seed=0), run(1, seed=0, dropout_rate=0.5), run(2, seed=1),
        run(3, seed=1, trial_seed=7, dropout_rate=0.5),
    ]  # fmt: skip
    groups = group_by_seed(runs)
    assert [[each.run_id for each in group.runs] for group in groups] == [
        [runs[0].run_id, runs[2].run_id],
        [runs[1].run_id, runs[3].run_id],
    ]
    assert differing_fields(groups) == ["dropout_rate"]


def test_runs_that_differ_in_their_seed_alone_show_it() -> None:
    groups = group_by_seed([run(0, seed=0), run(1, seed=1)])
    assert len(groups) == 1
    assert differing_fields(groups) == []
    assert groups[0].values("seed") == (0, 1)


def test_the_mean_counts_a_seed_once_and_leaves_out_what_was_not_measured() -> None:
    (group,) = group_by_seed(
        [run(0, seed=0, ood=0.4), run(1, seed=0, ood=0.6), run(2, seed=1, ood=0.7),
         run(3, seed=2, ood=None)]
    )  # fmt: skip
    found = group.estimate(ood)
    assert found is not None
    assert found.n == 2
    assert found.mean == pytest.approx(0.6)
    assert group.estimate(lambda _: None) is None


def test_a_group_bears_the_name_its_runs_have_in_common() -> None:
    def named(*names: str) -> str:
        runs = [
            make_run(at, name=name, spec=resolve_spec({"seed": at}))
            for at, name in enumerate(names)
        ]
        return group_labels(group_by_seed(runs))[0]

    assert named("alone") == "alone"
    assert named("trial-s0", "trial-s1") == "trial ×2"
    assert named("one", "other") == "one ×2"


def test_groups_of_one_name_are_told_apart_by_the_fields_that_do_so() -> None:
    fields: list[dict[str, object]] = [
        {"steps": 50}, {"steps": 50, "seed": 1}, {"steps": 20}, {"steps": 20, "lr": 0.5},
    ]  # fmt: skip
    runs = [
        make_run(at, name=f"trial-s{each.get('seed', 0)}", spec=resolve_spec(each))
        for at, each in enumerate(fields)
    ]
    other = make_run(4, name="other", spec=resolve_spec({"lr": 0.1}))
    lr = runs[0].spec.lr
    assert group_labels(group_by_seed([*runs, other])) == [
        f"trial steps 50 lr {lr} ×2",
        f"trial-s0 steps 20 lr {lr}",
        "trial-s0 steps 20 lr 0.5",
        "other",
    ]
    assert group_labels(group_by_seed(runs[:1])) == ["trial-s0"]
