"""A run that leaves no domain out: it trains on all of them and has no OOD accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.data import load_data
from engine.errors import InputError
from engine.model.tensor_file import read_card
from engine.protocol import (
    ArmEvaluated,
    DataPrepared,
    Evaluated,
    RunFinished,
    StepsTaken,
    resolve_spec,
)
from engine.rundir import RunDir
from engine.rundir.step_predictions import StepPredictionsFile
from tests.engine.datasets.image_folders import MakeFolder
from tests.small_runs import SMALL_CLASSES, MakeRun, read_events, run_here, stop_here

SHORT = {"steps": 6, "eval_every": 3, "log_every": 1, "head_steps": 2}
DOMAINS = ["fluent", "fluent-mono", "noto", "twemoji"]
ONE_DOMAIN = {"photo": ("cat", "dog")}


def data_of(run_dir: RunDir) -> DataPrepared:
    return next(each for each in read_events(run_dir) if isinstance(each, DataPrepared))


def evaluations(run_dir: RunDir) -> list[Evaluated]:
    return [each for each in read_events(run_dir) if isinstance(each, Evaluated)]


def numbers(run_dir: RunDir) -> list[tuple[object, ...]]:
    """Return losses and accuracies without repetitions, as they follow from the steps."""
    found: dict[tuple[str, int], tuple[object, ...]] = {}
    for event in read_events(run_dir):
        if isinstance(event, StepsTaken):
            found["loss", event.step] = ("loss", event.step, event.loss)
        elif isinstance(event, Evaluated):
            found["", event.step] = ("", event.step, event.metrics, event.id_accuracy)
        elif isinstance(event, ArmEvaluated):
            found[event.arm, event.step] = (event.arm, event.step, event.metrics)
    return [found[key] for key in sorted(found)]


def one_domain_run(make_run: MakeRun, make_folder: MakeFolder, **fields: object) -> RunDir:
    folder = make_folder(ONE_DOMAIN, count=8)
    return make_run(data_dir=str(folder), target=None, **SHORT, **fields)


def test_every_domain_is_trained_on_and_nothing_is_ood(make_run: MakeRun) -> None:
    run_dir = make_run(target="none", arms=["averaged", "ensemble"], **SHORT)
    run_here(run_dir)
    data = data_of(run_dir)
    assert data.target is None
    assert [(domain.name, domain.is_target) for domain in data.domains] == [
        (domain, False) for domain in DOMAINS
    ]
    told = read_events(run_dir)
    of_arms = [each for each in told if isinstance(each, ArmEvaluated)]
    assert {each.arm for each in of_arms} == {"averaged", "ensemble"}
    measured: list[Evaluated | ArmEvaluated] = [*evaluations(run_dir), *of_arms]
    for each in measured:
        assert each.ood_accuracy is None
        places = [(m.domain, m.split) for m in each.metrics if m.name == "accuracy"]
        assert places == [(domain, "out") for domain in DOMAINS]
        values = [m.value for m in each.metrics if m.name == "accuracy" and m.value is not None]
        assert each.id_accuracy == pytest.approx(sum(values) / len(DOMAINS))
    finished = read_events(run_dir)[-1]
    assert isinstance(finished, RunFinished)
    assert finished.ood_accuracy is None
    assert finished.id_accuracy == max(each.id_accuracy for each in evaluations(run_dir))


def test_its_checkpoint_describes_itself(make_run: MakeRun) -> None:
    run_dir = make_run(target="none", **SHORT)
    run_here(run_dir)
    with safe_open(run_dir.best_checkpoint, "pt") as file:
        card = read_card(file.metadata())
    assert card is not None
    assert (card.target, card.classes) == (None, SMALL_CLASSES)


def test_the_mistakes_that_are_kept_are_those_of_validation(make_run: MakeRun) -> None:
    run_dir = make_run(target="none", **SHORT)
    run_here(run_dir)
    predictions = run_dir.read_predictions()
    assert predictions is not None
    assert not predictions.has_target
    stored = StepPredictionsFile.open(run_dir.step_predictions)
    assert not any(each.is_target for each in stored.read_images().splits)
    assert predictions.step in stored.blocks
    wrong = sum(
        each.images
        for domain in predictions.domains
        for each in domain.confusions
        if each.label != each.predicted
    )
    assert wrong > 0
    assert len(predictions.wrong) == min(48, wrong)


@pytest.mark.parametrize(
    "fields",
    [
        {"arms": ["averaged", "ensemble"]},
        {"objective": "odd+rpdro", "micro_batch_size": 3, "class_weights": "balanced"},
        {"tuning": "linear", "model": "test_vit"},
    ],
    ids=["arms", "rpdro", "linear"],
)
def test_images_of_one_domain_need_no_word(
    make_run: MakeRun, make_folder: MakeFolder, fields: dict[str, object]
) -> None:
    run_dir = one_domain_run(make_run, make_folder, **fields)
    run_here(run_dir)
    assert data_of(run_dir).target is None
    assert isinstance(read_events(run_dir)[-1], RunFinished)
    assert {each.ood_accuracy for each in evaluations(run_dir)} == {None}


def test_stopped_and_resumed_it_is_the_run_never_interrupted(make_run: MakeRun) -> None:
    fields = {**SHORT, "target": "none", "arms": ["averaged", "ensemble"], "head_steps": 0}
    whole, parts = make_run("whole", **fields), make_run("parts", **fields)
    run_here(whole)
    stop_here(parts, 4)
    assert not isinstance(read_events(parts)[-1], RunFinished)
    run_here(parts)
    assert numbers(parts) == numbers(whole)
    ours, theirs = load_file(parts.best_checkpoint), load_file(whole.best_checkpoint)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_source_can_be_held_out_all_the_same(make_run: MakeRun) -> None:
    run_dir = make_run(target="none", held_out_source="noto", **SHORT)
    run_here(run_dir)
    found = evaluations(run_dir)[-1]
    assert found.ood_accuracy is None
    splits = {(m.domain, m.split) for m in found.metrics}
    assert splits == {*((d, "out") for d in DOMAINS), ("noto", "in")}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"target": "photo"},
            "one domain, photo, so 'photo' cannot be left out.* --target none, .* data shift",
        ),
        ({"target": "sketch"}, "one domain, photo, so 'sketch' cannot be left out"),
        ({"target": None, "held_out_source": "photo"}, "photo is the only source"),
    ],
)
def test_the_only_domain_is_not_left_out(
    make_run: MakeRun, make_folder: MakeFolder, fields: dict[str, object], message: str
) -> None:
    folder = make_folder(ONE_DOMAIN)
    with pytest.raises(InputError, match=message):
        run_here(make_run(data_dir=str(folder), **fields))


@pytest.mark.parametrize("objective", ["coral", "rpdro+vrex", "groupdro"])
def test_sources_are_not_compared_if_there_is_one(
    make_run: MakeRun, make_folder: MakeFolder, objective: str
) -> None:
    with pytest.raises(InputError, match="compares source domains and needs at least 2, but the "):
        run_here(one_domain_run(make_run, make_folder, objective=objective))


def test_of_several_domains_one_is_chosen_or_none(make_run: MakeRun) -> None:
    with pytest.raises(InputError, match="--target, .*: fluent, .*; or none to train on all"):
        run_here(make_run(target=None))


def test_a_domain_called_none_is_not_meant_without_a_word(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = make_folder({"none": ("cat", "dog"), "photo": ("cat", "dog")})
    fields = {"data_dir": str(folder), "image_size": 32}
    with pytest.raises(InputError, match="has a domain named 'none'.* Rename that domain"):
        load_data(resolve_spec({**fields, "target": "none"}), tmp_path / "cache")
    other = load_data(resolve_spec({**fields, "target": "photo"}), tmp_path / "cache")
    assert [domain.name for domain in other.sources] == ["none"]
