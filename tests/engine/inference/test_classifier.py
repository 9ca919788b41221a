"""A trained network loaded from its checkpoints predicts as its run measured."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import load_data
from engine.errors import InputError
from engine.inference.classifier import Classifier, load_classifier
from engine.model import FineTunedNetwork, build_network
from engine.model.tensor_file import read_header, read_tensors, write_tensors
from engine.protocol import Combination, CombinationSpec, Evaluated, Parent, spec_of
from engine.rundir import RunDir, UserData
from engine.rundir.checkpoints import offering_other_step
from tests.small_runs import MakeRun, read_events, run_here

KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "averaged": {"arms": ("averaged",), "average_from": 8},
    "blocks": {"tuning": "linear", "model": "test_vit"},
    "penultimate": {"tuning": "linear", "linear_features": "penultimate"},
    "side by side": {
        "tuning": "linear", "linear_features": "penultimate",
        "model": "test_resnet+test_efficientnet",
    },
}  # fmt: skip


def _accuracy(classifier: Classifier, run_dir: RunDir) -> float:
    """Return the accuracy on the original files of the target's ``in`` split."""
    data = load_data(spec_of(run_dir.read_task()), run_dir.path.parent.parent / "cache")
    assert data.target is not None
    assert classifier.classes == data.classes
    rows = data.target.rows[data.target.in_indices]
    images = [classifier.transform(data.image_set.open_image(row)) for row in rows]
    with torch.inference_mode(), classifier.folded():
        logits = classifier(torch.stack(images))
    labels = data.target.labels[torch.from_numpy(data.target.in_indices)]
    return float((logits.argmax(dim=1) == labels).double().mean())


def _selected(run_dir: RunDir) -> Evaluated:
    """Return the evaluation of the selected step."""
    found = [event for event in read_events(run_dir) if isinstance(event, Evaluated)]
    return next(event for event in reversed(found) if event.is_best)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_predicts_as_its_run_measured(make_run: MakeRun, kind: str) -> None:
    run_dir = make_run(**KINDS[kind])
    run_here(run_dir)
    classifier = load_classifier(run_dir)
    assert not classifier.training
    assert _accuracy(classifier, run_dir) == _selected(run_dir).ood_accuracy
    assert classifier.image_size == 32


def test_the_averaged_arm_is_another_network(make_run: MakeRun) -> None:
    run_dir = make_run(**KINDS["averaged"])
    run_here(run_dir)
    own, averaged = load_classifier(run_dir), load_classifier(run_dir, arm="averaged")
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert not torch.equal(own(image), averaged(image))
    with pytest.raises(InputError, match="has no arm ensemble; it has dropout, averaged"):
        load_classifier(run_dir, arm="ensemble")
    with pytest.raises(InputError, match="selected step only"):
        load_classifier(run_dir, arm="averaged", at="last")


def test_an_ensemble_averages_the_logits_of_its_runs(make_run: MakeRun, tmp_path: Path) -> None:
    parents = [make_run(f"run{seed}", seed=seed, trial_seed=0) for seed in range(2)]
    for each in parents:
        run_here(each)
    task = CombinationSpec.of(
        parents[0].read_spec(),
        Combination(
            method="ensemble",
            parents=tuple(Parent(each.run_id, str(each.best_checkpoint)) for each in parents),
        ),
    )
    ensemble = RunDir(parents[0].path.parent / "both")
    ensemble.create(task, UserData())
    run_here(ensemble)
    classifier = load_classifier(ensemble)
    assert len(classifier.networks) == 2
    assert _accuracy(classifier, ensemble) == _selected(ensemble).ood_accuracy
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "home", moved)
    load_classifier(RunDir(moved / "runs" / "both"))
    shutil.rmtree(moved / "runs" / "run1" / "checkpoints")
    with pytest.raises(InputError, match=r"needs the checkpoint .*run1"):
        load_classifier(RunDir(moved / "runs" / "both"))


def test_what_a_run_does_not_have_is_told(make_run: MakeRun) -> None:
    run_dir = make_run(keep_checkpoints="none")
    with pytest.raises(InputError, match="it has not saved a network yet"):
        load_classifier(run_dir)
    run_here(run_dir)
    with pytest.raises(InputError, match="it did not keep them"):
        load_classifier(run_dir)
    run_dir = make_run("pruned")
    run_here(run_dir)
    shutil.rmtree(run_dir.checkpoints)
    with pytest.raises(InputError, match="they were deleted to free disk space"):
        load_classifier(run_dir)
    run_dir.synced.touch()
    with pytest.raises(InputError, match="a copy of a run on another machine"):
        load_classifier(run_dir)
    run_dir = make_run("damaged")
    run_here(run_dir)
    run_dir.best_checkpoint.write_bytes(run_dir.best_checkpoint.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"is damaged .*Restore the file, or train again\.$"):
        load_classifier(run_dir)
    with (
        pytest.raises(InputError, match=r"train again\. Or use --at last\.$"),
        offering_other_step(run_dir),
    ):
        load_classifier(run_dir)
    run_dir.best_checkpoint.unlink()
    with pytest.raises(InputError, match=r"it has last\. Restore the file, or train again\.$"):
        load_classifier(run_dir)


def test_a_checkpoint_of_an_older_version_does_without_a_card(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_here(run_dir)
    now = load_classifier(run_dir)
    path = run_dir.best_checkpoint
    write_tensors(path, read_tensors(path), read_header(path)[0])
    then = load_classifier(run_dir)
    assert then.card == now.card
    run_dir.events.unlink()
    with pytest.raises(InputError, match="names its classes neither"):
        load_classifier(run_dir)


def test_pixels_are_those_of_evaluations(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_here(run_dir)
    classifier = load_classifier(run_dir)
    transparent = Image.new("RGBA", (50, 20), (200, 100, 0, 0))
    assert classifier.pixels(transparent).shape == (32, 32, 3)
    assert tuple(classifier.pixels(transparent)[0, 0]) == (200, 100, 0)
    wide = Image.fromarray(np.full((9, 9), 0.5, dtype=np.float32))
    with pytest.raises(OSError, match="32-bit pixels"):
        classifier.transform(wide)


def test_a_trained_network_is_not_checked_again(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run()
    run_here(run_dir)

    def refuse(*_: Any) -> None:
        raise AssertionError("the checks take seconds")

    monkeypatch.setattr("engine.model.backbone.check_consistency", refuse)
    classifier = load_classifier(run_dir)
    [network] = classifier.networks
    assert network.pairs, "BatchNorm is folded"


@pytest.mark.parametrize("times", [1, 2])
def test_a_network_replaced_while_it_is_loaded_is_loaded_again(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    run_dir, other = make_run(), make_run("other", seed=1, steps=8)
    for each in (run_dir, other):
        run_here(each)
    contents = [each.best_checkpoint.read_bytes() for each in (other, run_dir)][:times]
    expected = load_classifier(other)

    def replacing(*args: Any, **options: Any) -> FineTunedNetwork:
        if contents:
            run_dir.best_checkpoint.write_bytes(contents.pop(0))
        return build_network(*args, **options)

    monkeypatch.setattr("engine.train.checkpoint.build_network", replacing)
    if times == 2:
        with pytest.raises(InputError, match="was replaced each time it was read"):
            load_classifier(run_dir)
        return
    found = load_classifier(run_dir)
    assert (found.checkpoint, found.step) == (expected.checkpoint, expected.step)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
