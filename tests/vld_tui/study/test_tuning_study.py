"""The study that ``vld tune`` writes, and how a budget shrinks it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.vld_tui.study.known_datasets import read
from vld_tui.home import Home
from vld_tui.study.define.grid import StudyError
from vld_tui.study.define.tuning import (
    TuneGrid,
    TuneRequest,
    Tuning,
    keep_tuning,
    read_tuning,
    study_name,
)
from vld_tui.words.numbers import seconds_in

REQUEST = TuneRequest(data="photos", fields={"steps": 20, "grad_clip": None, "arms": ("averaged",)})
TUNING = Tuning(name="tune-photos", request=REQUEST)


def test_each_domain_is_left_out_at_each_setting_with_each_seed() -> None:
    study = read(TUNING.text(REQUEST.grid(3e-4, 1e-4)).text)
    assert (study.name, study.compare) == ("tune-photos", ("dropout_rate",))
    runs = {(spec.target, spec.dropout_rate, spec.seed) for spec in study.specs}
    assert len(runs) == len(study.specs) == 27
    assert {spec.target for spec in study.specs} == {"a", "b", "c"}
    assert {spec.held_out_source for spec in study.specs} == {None}
    (first, *_) = study.specs
    assert (first.steps, first.grad_clip, first.arms) == (20, None, ("averaged",))
    assert (first.keep_checkpoints, first.trial_seed) == ("none", None)


def test_the_final_runs_train_on_every_domain_and_share_a_split() -> None:
    grid = REQUEST.grid(3e-4, 1e-4)
    study = read(TUNING.text(grid, {"dropout_rate": 0.5}).text)
    finals = [spec for spec in study.specs if spec.target == "none"]
    assert [(each.dropout_rate, each.seed) for each in finals] == [(0.5, 0), (0.5, 1), (0.5, 2)]
    assert {(each.trial_seed, each.keep_checkpoints) for each in finals} == {(0, "best")}
    before = read(TUNING.text(grid).text)
    assert set(study.identities) > set(before.identities)


def test_cells_are_those_of_the_paper_around_the_recipes() -> None:
    grid = TuneRequest(data="photos", with_cells=True).grid(1e-3, 1e-4)
    assert grid.cells == (
        (1e-3, 1e-4), (1e-3, 5e-5), (1e-3, 1e-5), (5e-4, 1e-4), (5e-4, 5e-5), (5e-4, 1e-5),
    )  # fmt: skip
    study = read(TUNING.text(grid, grid.usual).text)
    assert len(study.specs) == 3 * 3 * 6 * 3 + 3
    assert study.compare == ("dropout_rate", "lr", "weight_decay")
    assert TuneRequest(data="photos", with_cells=True).grid(1e-3, 0.0).cells == (
        (1e-3, 0.0), (5e-4, 0.0),
    )  # fmt: skip


def test_a_rate_and_a_decay_that_are_given_are_those_of_the_first_cell() -> None:
    request = TuneRequest(data="photos", fields={"lr": 0.02, "weight_decay": 0.0}, with_cells=True)
    grid = request.grid(0.02, 0.0)
    tuning = Tuning(name="x", request=request)
    study = read(tuning.text(grid, grid.usual).text)
    assert {spec.lr for spec in study.specs} == {0.02, 0.01}
    assert {spec.lr for spec in study.specs if spec.target == "none"} == {0.02}
    (trial,) = read(tuning.trial_text(grid, study.specs[0]).text).specs
    assert trial == study.specs[0]


def test_a_budget_drops_cells_then_rates_then_seeds() -> None:
    full = TuneGrid(rates=(0.0, 0.25, 0.5, 0.9), cells=((1.0, 0.1), (0.5, 0.1)), seeds=4)
    steps = [(each.rates, len(each.cells), each.seeds) for each in full.smaller()]
    assert steps == [
        ((0.0, 0.25, 0.5, 0.9), 1, 4),
        ((0.0, 0.25, 0.9), 1, 4),
        ((0.0, 0.9), 1, 4),
        ((0.0, 0.9), 1, 3),
        ((0.9,), 1, 3),
        ((0.9,), 1, 2),
        ((0.9,), 1, 1),
    ]
    last = [*full.smaller()][-1]
    assert full.without(last) == (
        "dropout rates 0, 0.25, 0.5", "learning rate 0.5 with weight decay 0.1", "3 seeds",
    )  # fmt: skip
    assert full.without(full) == ()
    without_paper = TuneGrid(rates=(0.1, 0.3, 0.7))
    assert [each.rates for each in without_paper.smaller()][:2] == [(0.1, 0.3), (0.1,)]


def test_linear_runs_take_one_thread_each_unless_said_otherwise() -> None:
    for fields, threads in (({}, 1), ({"threads": 2}, 2)):
        linear = TuneRequest(data="photos", fields={"tuning": "linear", **fields})
        study = read(Tuning(name="x", request=linear).text(linear.grid(1e-3, 1e-4)).text)
        assert {spec.threads for spec in study.specs} == {threads}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("emoji", "tune-emoji"),
        ("/my/photos of 2026", "tune-photos-of-2026"),
        ("/my/table.csv", "tune-table"),
        ("/my/set.v2", "tune-set.v2"),
        ("/写真", "tune-data"),
    ],
)
def test_a_study_is_named_after_its_data(data: str, name: str) -> None:
    assert study_name(data) == name
    read(Tuning(name=name, request=REQUEST).text(REQUEST.grid(1e-3, 1e-4)).text)


def test_what_was_asked_is_kept_with_the_command_that_asks_for_it(home: Home) -> None:
    request = TuneRequest(
        data="/my/photos", fields=REQUEST.fields, rates=(0.5, 0.9), with_cells=True, seeds=5,
        budget_s=5400.0,
    )  # fmt: skip
    assert " ".join(request.command("mine")) == (
        "vld tune /my/photos --rates 0.5,0.9 --cells --seeds 5 --budget 5400s --name mine "
        "--steps 20 --grad-clip none --arms averaged"
    )
    assert read_tuning(home, "mine") is None
    keep_tuning(home, Tuning(name="mine", request=request))
    kept = read_tuning(home, "mine")
    assert kept is not None
    assert kept.request.is_same(request)
    assert kept.request.is_same(msgspec.structs.replace(request, budget_s=None))
    assert not kept.request.is_same(REQUEST)
    path = Path(home.studies, "mine.tune.json")
    path.write_text("{")
    with pytest.raises(StudyError, match="Delete it to start over"):
        read_tuning(home, "mine")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("1h30m", 5400), ("1h 30m", 5400), ("1.5h", 5400), ("45s", 45), ("1d", 86400),
     ("2", None), ("", None), ("h", None), ("2 hours", None), ("-2h", None)],
)  # fmt: skip
def test_a_duration_is_read_as_it_is_typed(text: str, seconds: float | None) -> None:
    assert seconds_in(text) == seconds
