"""A file of a trained network alone says how to use it, and another run continues from it."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import engine.train.loop
from engine.model import FineTunedNetwork, build_network
from engine.model.tensor_file import read_metadata
from engine.protocol import (
    Cautioned,
    Evaluated,
    LoadedWeights,
    ModelPrepared,
    RunStopped,
    resolve_spec,
)
from engine.run import run
from engine.rundir import RunDir, UserData
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest
from engine.train.last_layer import HEAD_LR, TrainingFeatures, train_head
from engine.train.setup import Training
from tests.small_runs import SMALL_CLASSES, SMALL_RUN, MakeRun, read_events, run_here

DOCS = Path(__file__).parents[3] / "docs" / "run-folder.md"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_emoji: Path) -> RunDir:
    """Return a finished run, with an arm that saves a network of its own."""
    run_dir = RunDir(tmp_path_factory.mktemp("finished") / "runs" / "first")
    values = {"data_dir": str(small_emoji), **SMALL_RUN, "arms": ["averaged"]}
    run_dir.create(resolve_spec(values), UserData())
    run_here(run_dir)
    return run_dir


def prepared(run_dir: RunDir) -> list[LoadedWeights | None]:
    return [each.loaded for each in read_events(run_dir) if isinstance(each, ModelPrepared)]


def build(path: Path, *classes: str, tuning: str = "full") -> FineTunedNetwork:
    model = str(SMALL_RUN["model"])
    return build_network(
        model, classes=len(classes), weights=str(path), image_size=32, seed=1,
        tuning="linear" if tuning == "linear" else "full", class_names=classes,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["best", "averaged"])
def test_the_header_says_how_to_use_the_network(finished: RunDir, kind: str) -> None:
    header = read_metadata(finished.checkpoints / f"{kind}.safetensors")
    about = {key: header[key] for key in ("model", "resize", "interpolation", "target", "run")}
    assert about == {
        "model": "test_resnet", "resize": "squeeze", "interpolation": "bilinear",
        "target": "fluent-mono", "run": "first",
    }  # fmt: skip
    assert header["dataset"] == "small-emoji"
    assert json.loads(header["classes"]) == [*SMALL_CLASSES]
    assert json.loads(header["image_size"]) == 32
    assert json.loads(header["model_args"]) == {"num_classes": 3}
    assert len(json.loads(header["mean"])) == len(json.loads(header["std"])) == 3


def test_the_documented_code_predicts_what_the_run_did(finished: RunDir, small_emoji: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?safe_open.*?)```", DOCS.read_text(), re.DOTALL)
    code = code.replace('"best.safetensors"', repr(str(finished.best_checkpoint)))
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted((small_emoji / "fluent-mono").glob("*/*")):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(code.replace('"image.png"', repr(str(path))), {})
        found[path.parent.name, said.getvalue().split()[0]] += 1
    predictions = finished.read_predictions()
    assert predictions is not None
    expected: Counter[tuple[str, str]] = Counter()
    for domain in predictions.domains:
        for each in domain.confusions if domain.is_target else ():
            labels = predictions.classes[each.label], predictions.classes[each.predicted]
            expected[labels] += each.images
    assert len(found) > 1
    assert found == expected


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("animal", "face", "food"), "kept: same 3 classes"),
        (("food", "animal", "face"), "kept: same 3 classes in another order"),
        (("food", "animal"), "kept: 2 of its 3 classes"),
    ],
)
def test_the_last_layer_is_kept_for_classes_that_it_knows(
    finished: RunDir, classes: tuple[str, ...], words: str
) -> None:
    network = build(finished.best_checkpoint, *classes)
    saved = load_file(finished.best_checkpoint)
    rows = [SMALL_CLASSES.index(name) for name in classes]
    assert torch.equal(network.head.weight, saved["fc.weight"][rows])
    assert torch.equal(network.head.bias, saved["fc.bias"][rows])
    assert network.loaded is not None
    assert (network.loaded.last_layer, network.loaded.is_kept) == (words, True)
    assert network.loaded.training is not None
    assert network.loaded.training.run == "first"


@pytest.mark.parametrize(
    ("classes", "tuning", "words"),
    [
        (("animal", "face", "car"), "full", "new: the file has no class car"),
        (("x", "y"), "full", "new: other classes"),
    ],
)
def test_it_is_new_where_classes_are(
    finished: RunDir, classes: tuple[str, ...], tuning: str, words: str
) -> None:
    network = build(finished.best_checkpoint, *classes, tuning=tuning)
    assert network.loaded is not None
    assert (network.loaded.last_layer, network.loaded.is_kept) == (words, False)


def test_the_network_of_the_last_step_is_taken_on_request(finished: RunDir) -> None:
    network = build_network(
        "test_resnet", classes=3, weights=str(finished.last_checkpoint), image_size=32, seed=1,
        weights_key="network", class_names=SMALL_CLASSES,
    )  # fmt: skip
    saved = load_file(finished.last_checkpoint)
    ours = network.module.state_dict()
    assert all(torch.equal(tensor, saved[f"network.{name}"]) for name, tensor in ours.items())
    assert network.loaded is not None
    assert network.loaded.is_kept


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, None),
        ({"target": "noto"}, "images of noto: its OOD accuracy is too high"),
        ({"held_out_source": "noto"}, "images of noto: its accuracy is too high"),
        ({"trial_seed": 5}, "images that this run holds out: ID accuracy is too high"),
        ({"validation_fraction": 0.3}, "images that this run holds out"),
        ({"seed": 3, "trial_seed": 0}, None),
    ],
)
def test_a_run_says_when_its_start_was_trained_on_what_it_is_measured_on(
    finished: RunDir, make_run: MakeRun, fields: dict[str, object], words: str | None
) -> None:
    further = {"weights": str(finished.best_checkpoint), "head_steps": 0, "steps": 1,
               "warmup_steps": 0, **fields}  # fmt: skip
    again = make_run("again", **further)
    run_here(again)
    first, *said = [each.message for each in read_events(again) if isinstance(each, Cautioned)]
    assert "validation images: ID accuracy" in first
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


def test_without_the_header_it_is_new(finished: RunDir, tmp_path: Path) -> None:
    save_file(load_file(finished.best_checkpoint), tmp_path / "bare.safetensors")
    network = build(tmp_path / "bare.safetensors", *SMALL_CLASSES)
    assert network.loaded is not None
    assert network.loaded.last_layer == "new"


def test_a_kept_last_layer_is_trained_further_not_from_zero(finished: RunDir) -> None:
    network = build(finished.best_checkpoint, *SMALL_CLASSES)
    before = network.head.weight.detach().clone()
    features = torch.randn(8, network.feature_dim)
    spec = resolve_spec({**SMALL_RUN, "head_steps": 1})
    generators = {"batches": torch.Generator(), "masks": torch.Generator()}
    cached = TrainingFeatures([(features, torch.zeros(8, dtype=torch.int64))])
    train_head(network, cached, 1.0, spec, generators, lambda: None)
    moved = (network.head.weight.detach() - before).abs().max()
    assert 0 < float(moved) <= 1.1e-3  # Adam's first step


@pytest.mark.parametrize("feature_rms", [1.0, 4.0])
def test_the_first_step_of_a_new_last_layer_goes_by_the_scale_of_features(
    feature_rms: float,
) -> None:
    network = build_network("test_resnet", classes=3, weights="none", image_size=32, seed=0)
    features = feature_rms * torch.randn(8, network.feature_dim)
    spec = resolve_spec({**SMALL_RUN, "head_steps": 1})
    generators = {"batches": torch.Generator(), "masks": torch.Generator()}
    cached = TrainingFeatures([(features, torch.arange(8) % 3)])
    train_head(network, cached, feature_rms, spec, generators, lambda: None)
    moved = float(network.head.weight.detach().abs().max())  # from zero, by Adam's first step
    assert moved == pytest.approx(HEAD_LR / feature_rms, rel=0.01)


def test_a_linearly_tuned_network_is_continued_with_its_features(make_run: MakeRun) -> None:
    first = make_run("linear", tuning="linear", model="tf_efficientnet_lite0", steps=4)
    run_here(first)
    again = build_network(
        "tf_efficientnet_lite0", classes=3, weights=str(first.best_checkpoint), image_size=32,
        seed=1, tuning="linear", class_names=SMALL_CLASSES,
    )  # fmt: skip
    saved = load_file(first.best_checkpoint)
    assert again.module.state_dict().keys() == saved.keys()
    assert all(torch.equal(each, saved[name]) for name, each in again.module.state_dict().items())
    assert again.loaded is not None
    assert (again.loaded.is_kept, again.loaded.unexpected) == (True, [])
    full = build_network(
        "tf_efficientnet_lite0", classes=3, weights=str(first.best_checkpoint), image_size=32,
        seed=1, class_names=SMALL_CLASSES,
    )  # fmt: skip
    assert full.loaded is not None
    assert full.loaded.last_layer == "new: the file's layer reads linear features"
    assert full.loaded.unexpected == ["head.bias", "head.weight", "scales"]


def test_a_run_that_continues_starts_where_the_other_was(
    finished: RunDir, make_run: MakeRun
) -> None:
    again = make_run("again", weights=str(finished.best_checkpoint), lr=1e-9, head_lr_factor=1e-3,
                     head_steps=0, steps=1, eval_every=1, warmup_steps=0)  # fmt: skip
    run_here(again)
    evaluated = [each for each in read_events(finished) if isinstance(each, Evaluated)]
    best = max(evaluated, key=lambda each: (each.id_accuracy, -each.step))
    (now,) = [each for each in read_events(again) if isinstance(each, Evaluated)]
    assert (now.id_accuracy, now.ood_accuracy) == (best.id_accuracy, best.ood_accuracy)
    (loaded,) = prepared(again)
    assert loaded is not None
    assert loaded.is_kept


def test_resumed_without_its_file_of_weights_it_is_the_run_never_interrupted(
    finished: RunDir, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(finished.best_checkpoint.read_bytes())
    whole = make_run("whole", weights=str(weights))
    run_here(whole)
    broken = make_run("broken", weights=str(weights))
    stop_at(12, broken, monkeypatch)
    weights.unlink()
    run_here(broken)
    first, resumed = prepared(broken)
    assert first == resumed
    assert first is not None
    last = load_file(whole.last_checkpoint), load_file(broken.last_checkpoint)
    assert last[0].keys() == last[1].keys()
    assert all(torch.equal(tensor, last[1][name]) for name, tensor in last[0].items())


def stop_at(step: int, run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do a run until so many steps are done, and stop it."""
    stop, log = StopRequest(), EventLog(run_dir.events)
    real = engine.train.loop.take_step

    def take_step(spec: object, training: Training, at: int) -> Tensor:
        if at == step - 1:
            stop.ask("enough")
        return real(spec, training, at)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(engine.train.loop, "take_step", take_step)
        outcome = run(run_dir, log, stop)
    assert isinstance(outcome, RunStopped)
    log.record(outcome)
    log.close()
