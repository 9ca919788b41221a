"""From the texts of a form to runs, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from vld_tui.dashboard.screens.new_run.draft import read_draft, typed_texts


def test_nothing_typed_is_the_plain_command() -> None:
    draft = read_draft({})
    assert (draft.specs, draft.lines) == ((resolve_spec({}),), ("vld run",))
    assert (draft.usual["steps"], draft.usual["target"]) == ("200", "clipart")


def test_a_recipe_changes_what_is_usual_and_not_what_was_typed() -> None:
    draft = read_draft({"recipe": "paper", "masks": "4"})
    assert (draft.usual["steps"], draft.usual["lr_drops"]) == ("10001", "5000,10000")
    assert draft.usual["recipe"] == "default", "else it would not be seen as typed"
    [spec] = draft.specs
    assert (spec.steps, spec.masks, spec.recipe) == (10_001, 4, "paper")


def test_another_data_set_has_no_target_yet() -> None:
    draft = read_draft({"dataset": "PACS"})
    assert (draft.usual["target"], draft.usual["image_size"]) == ("", "224")


def test_a_folder_names_the_data_set_and_is_told_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draft = read_draft({"data_dir": "some/images"})
    assert draft.usual["dataset"] == "images"
    [spec] = draft.specs
    assert (spec.dataset, spec.data_dir) == ("images", str(tmp_path / "some/images"))
    assert draft.lines == ("vld run --data some/images",)


def test_each_seed_makes_a_run() -> None:
    draft = read_draft({"seed": "3, 1,3,"})
    assert [spec.seed for spec in draft.specs] == [3, 1]
    assert draft.lines == ("vld run --seed 3", "vld run --seed 1")


def test_a_range_of_seeds_is_refused_with_what_to_type() -> None:
    problems = read_draft({"seed": "0-2"}).problems
    assert problems["seed"].endswith("Separate several seeds by commas: 0,1,2.")


def test_every_problem_is_told_at_its_field() -> None:
    draft = read_draft({"masks": "many", "lr": "-1", "seed": "1,x", "recipe": "papre"})
    assert not draft.specs
    assert not draft.lines
    assert draft.problems == {
        "masks": "--masks is 'many', but must be a whole number from 1 to 1024, or inf.",
        "lr": "--lr is -1.0, but must be a number above 0.",
        "seed": "--seed is 'x', but must be a whole number from 0 to 2147483647.",
        "recipe": "recipe is 'papre', but must be one of default, paper. Did you mean paper?",
    }


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e400", "1e300", "9" * 400])
def test_the_form_refuses_infinite_and_absurd_numbers(text: str) -> None:
    problems = read_draft({"lr": text, "steps": text}).problems
    assert problems.keys() == {"lr", "steps"}
    assert problems["lr"].startswith("--lr is ")
    assert "finite number above 0" in problems["lr"] or "at most 1,000" in problems["lr"]


def test_fields_that_do_not_go_together_are_told_at_the_first() -> None:
    [(name, problem)] = read_draft({"schedule": "step"}).problems.items()
    assert name == "schedule"
    assert problem.startswith("schedule is 'step', but lr_drops is empty")


def test_the_usual_schedule_is_that_of_the_run_s_length() -> None:
    draft = read_draft({"steps": "10"})
    assert (draft.usual["warmup_steps"], draft.usual["steps"]) == ("1", "200")
    assert draft.lines == ("vld run --steps 10",)
    refused = read_draft({"steps": "10", "warmup_steps": "500"})
    assert refused.problems["warmup_steps"].startswith("warmup_steps is 500, but the run has 10")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"steps": 10},
        {"recipe": "paper", "steps": 100},
        {"recipe": "paper", "seed": 4, "dataset": "PACS", "target": "photo"},
        {"data_dir": "/some/images", "target": "b"},
        {"data_dir": "/some/images", "dataset": "another name", "target": "b"},
        {
            "schedule": "step",
            "lr_drops": (5, 7),
            "grad_clip": 1.0,
            "freeze_batchnorm": False,
            "trial_seed": 0,
        },
        {"target": "none"},
    ],
)
def test_a_run_is_what_its_texts_make(values: dict[str, object]) -> None:
    spec = resolve_spec(values)
    typed = typed_texts(spec)
    assert read_draft(typed).specs == (spec,)
    assert set(typed) <= set(values)


def test_settings_without_effect_in_a_run_are_left_out_of_its_texts() -> None:
    """A study may set them for all of its runs; a new run may not."""
    of_study = {"dropout_rate": 0, "masks": 4, "mask_basis": "pca", "swad_ratio": 2}
    typed = typed_texts(resolve_spec(of_study))
    assert typed == {"dropout_rate": "0"}
    assert not read_draft(typed).problems


@pytest.mark.parametrize(
    "values",
    [
        {"tuning": "linear"},
        {"tuning": "linear", "views": None},
        {"tuning": "linear", "views": 3, "linear_features": "penultimate"},
        {"tuning": "linear", "model": "test_vit+test_resnet"},
        {"recipe": "paper", "tuning": "linear"},
    ],
)
def test_a_linear_run_is_read_back_with_its_views(values: dict[str, object]) -> None:
    spec = resolve_spec(values)
    draft = read_draft(typed_texts(spec))
    assert (draft.specs, draft.problems) == ((spec,), {})
    assert "tuning" in draft.typed


def test_networks_that_cannot_train_are_a_problem_of_the_form() -> None:
    draft = read_draft({"model": "test_vit+test_resnet"})
    assert "Give --tuning linear" in draft.problems["model"]
