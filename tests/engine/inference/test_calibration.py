"""Temperatures and OOD thresholds come from ID validation images, once for a network."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F

from engine.errors import InputError
from engine.evaluate.confidence import fit_temperature, ood_score_energy, ood_score_msp
from engine.inference.calibration import calibrate, fit_calibration, spread
from engine.inference.classifier import load_classifier
from engine.protocol import Combination, CombinationSpec, Parent
from engine.rundir import RunDir, UserData
from tests.small_runs import MakeRun, run_here


def _overconfident(images: int, factor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits that are ``factor`` times those whose probabilities the labels follow."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(images, 5, generator=generator, dtype=torch.float64) * 2
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return logits * factor, labels


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_scale(factor: float) -> None:
    logits, labels = _overconfident(20_000, factor)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(factor, rel=0.05)
    assert temperature is not None
    best = F.cross_entropy(logits / temperature, labels)
    assert best <= min(F.cross_entropy(logits / (temperature * by), labels) for by in (0.99, 1.01))


def test_no_temperature_fits_images_that_are_all_classified_correctly() -> None:
    logits = torch.eye(3, dtype=torch.float64)
    assert fit_temperature(logits, torch.arange(3)) is None
    calibration = fit_calibration(logits, torch.arange(3), "digest", {"one": 3})
    assert calibration.loss == calibration.calibrated_loss


def test_thresholds_keep_95_percent_of_the_images() -> None:
    logits, labels = _overconfident(1000, 1.0)
    thresholds = fit_calibration(logits, labels, "digest", {"one": 1000}).thresholds
    for name, score in (("msp", ood_score_msp), ("energy", ood_score_energy)):
        assert (score(logits) <= thresholds[name]).double().mean() == 0.95


def test_scores_are_higher_for_uncertain_logits() -> None:
    sure, unsure = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.5, 0.0]])
    assert ood_score_msp(unsure) > ood_score_msp(sure)
    assert ood_score_energy(unsure) > ood_score_energy(sure)


def test_images_are_spread_over_sources() -> None:
    assert spread([5, 5000, 400], 1000) == [5, 595, 400]
    assert spread([300, 300], 1000) == [300, 300]
    assert spread([900, 900, 900], 1000) == [333, 333, 334]


def test_a_run_is_calibrated_once(make_run: MakeRun) -> None:
    run_dir = make_run(arms=("averaged",), average_from=8)
    run_here(run_dir)
    classifier = load_classifier(run_dir)
    assert classifier.calibration is None
    assert classifier.temperature == 1
    made = calibrate(run_dir, classifier)
    assert len(made.images) == 3, "the target is not used"
    assert run_dir.read_spec().target not in made.images
    assert made.calibrated_loss <= made.loss
    again = load_classifier(run_dir)
    assert again.calibration == made
    assert again.temperature == made.temperature
    assert load_classifier(run_dir, calibrate=False).temperature == 1
    averaged = load_classifier(run_dir, arm="averaged")
    assert averaged.calibration is None, "of another network"
    calibrate(run_dir, averaged)
    assert set(run_dir.read_calibrations()) == {"dropout/best", "averaged/best"}
    image = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = (again(image) / again.temperature).softmax(dim=1)
        assert torch.equal(again.probabilities(image), expected)


def test_another_network_has_another_calibration(make_run: MakeRun) -> None:
    run_dir, other = make_run(), make_run("other", seed=1)
    for each in (run_dir, other):
        run_here(each)
    calibrate(run_dir, load_classifier(run_dir))
    shutil.copy(other.best_checkpoint, run_dir.best_checkpoint)
    assert load_classifier(run_dir).calibration is None
    run_dir.calibration.write_text("{damaged")
    assert load_classifier(run_dir).calibration is None


def test_a_calibration_is_of_the_network_that_was_loaded(make_run: MakeRun) -> None:
    run_dir, other = make_run(), make_run("other", seed=1)
    for each in (run_dir, other):
        run_here(each)
    loaded = load_classifier(run_dir)
    own = run_dir.best_checkpoint.read_bytes()
    shutil.copy(other.best_checkpoint, run_dir.best_checkpoint)
    made = calibrate(run_dir, loaded)
    assert load_classifier(run_dir).calibration is None
    run_dir.best_checkpoint.write_bytes(own)
    assert load_classifier(run_dir).calibration == made


def test_changed_or_missing_images_are_refused(
    make_run: MakeRun, small_emoji: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(small_emoji, images)
    run_dir = make_run(data_dir=str(images))
    run_here(run_dir)
    classifier = load_classifier(run_dir)
    next(images.rglob("*.webp")).unlink()
    with pytest.raises(InputError, match="have changed since run run was trained"):
        calibrate(run_dir, classifier)
    shutil.rmtree(images)
    with pytest.raises(InputError, match="no folder or file"):
        calibrate(run_dir, classifier)


def test_an_ensemble_has_one_temperature(make_run: MakeRun) -> None:
    parents = [make_run(f"run{seed}", seed=seed, trial_seed=0, steps=8) for seed in range(2)]
    for each in parents:
        run_here(each)
    ensemble = _combined("ensemble", parents)
    classifier = load_classifier(ensemble)
    made = calibrate(ensemble, classifier)
    assert load_classifier(ensemble).calibration == made
    assert set(ensemble.read_calibrations()) == {"ensemble/best"}
    parents[1].best_checkpoint.write_bytes(parents[0].best_checkpoint.read_bytes())
    assert load_classifier(ensemble).calibration is None, "one of its networks is another"


@pytest.mark.parametrize("change", [{"seed": 1}, {"validation_fraction": 0.3}])
def test_runs_that_held_out_different_images_are_not_calibrated(
    make_run: MakeRun, change: dict[str, Any]
) -> None:
    parents = [make_run("run0", steps=8), make_run("run1", steps=8, **change)]
    for each in parents:
        run_here(each)
    methods: tuple[Literal["soup", "ensemble"], ...] = ("soup", "ensemble")
    for method in methods:
        combined = _combined(method, parents)
        run_here(combined)
        with pytest.raises(InputError, match="held out different images"):
            calibrate(combined, load_classifier(combined))
        assert combined.read_calibrations() == {}


def test_a_combination_of_a_run_that_is_gone_is_not_calibrated(
    make_run: MakeRun, tmp_path: Path
) -> None:
    parents = [make_run(f"run{seed}", seed=seed, trial_seed=0, steps=8) for seed in range(2)]
    for each in parents:
        run_here(each)
    soup = _combined("soup", parents)
    run_here(soup)
    moved = RunDir(tmp_path / "elsewhere" / "runs" / soup.run_id)
    shutil.move(tmp_path / "home", tmp_path / "elsewhere")
    calibrate(moved, load_classifier(moved))
    shutil.rmtree(moved.path.parent / "run1")
    with pytest.raises(InputError, match="Run run1, which was combined, was deleted or moved"):
        calibrate(moved, load_classifier(moved))


def _combined(method: Literal["soup", "ensemble"], parents: Sequence[RunDir]) -> RunDir:
    """Return a run that combines the selected networks of others."""
    combination = Combination(
        method=method,
        parents=tuple(Parent(each.run_id, str(each.best_checkpoint)) for each in parents),
    )
    combined = RunDir(parents[0].path.parent / method)
    combined.create(CombinationSpec.of(parents[0].read_spec(), combination), UserData())
    return combined
