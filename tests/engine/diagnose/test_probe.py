"""The probe "source or target?" agrees with scikit-learn, and its ratios with true densities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from engine.data.folds import stratified_folds
from engine.diagnose.probe import areas_by_domain, fit_ratio_temperature, probe_shift
from engine.errors import InputError
from engine.evaluate.logistic import fit_folds


def _features(images: int, dimension: int, seed: int, shift: float = 0.0) -> Tensor:
    """Return correlated features of very different scales."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimension, dimension, generator=torch.Generator().manual_seed(99))
    features = torch.randn(images, dimension, generator=generator) @ mixing
    features[:, 0] += shift * features[:, 0].std()
    return features * torch.logspace(-3, 3, dimension) + 5


@pytest.mark.parametrize(("images", "dimension"), [(160, 12), (60, 90)])
@pytest.mark.parametrize("penalty", [1.0, 30.0])
def test_logits_are_those_of_scikit_learn(images: int, dimension: int, penalty: float) -> None:
    features = torch.cat(
        [_features(images, dimension, 1), _features(images // 2, dimension, 2, shift=1.5)]
    )
    features[:, 3] = 7.0
    is_target = torch.arange(len(features)) >= images
    fold = stratified_folds(features, is_target.long(), 5, seed=0)
    fits = fit_folds(features, is_target, fold, penalty=penalty, tolerance=1e-10)
    assert fits.converged.all()
    x = features.double().numpy()
    for at in range(5):
        fitted, judged = (fold != at).numpy(), (fold == at).numpy()
        reference = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12, max_iter=1000),
        ).fit(x[fitted], is_target.numpy()[fitted])
        expected = reference.decision_function(x[judged])
        assert fits.logits[judged].numpy() == pytest.approx(expected, abs=1e-6)


def test_the_area_is_that_of_scikit_learn_and_the_ratios_those_of_the_probabilities() -> None:
    source, target = _features(150, 10, 1), _features(70, 10, 2, shift=1)
    probe = probe_shift(source, target, penalty=1, tolerance=1e-10)
    features, is_target = torch.cat([source, target]), torch.arange(220) >= 150
    fold = stratified_folds(features, is_target.long(), 5, seed=0)
    logits = fit_folds(features, is_target, fold, penalty=1, tolerance=1e-10).logits
    assert probe.area.value == pytest.approx(roc_auc_score(is_target, logits), abs=1e-6)
    prior = math.log(70 / 150)

    def loss(log_temperature: float) -> float:
        calibrated = (logits.numpy() - prior) / math.exp(log_temperature) + prior
        return float(np.logaddexp(0, np.where(is_target, -1, 1) * calibrated).sum())

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    assert probe.temperature == pytest.approx(math.exp(best.x), rel=1e-5)
    shares = torch.sigmoid((logits[is_target] - prior) / probe.temperature + prior)
    expected = shares / (1 - shares) * 150 / 70
    assert probe.target_log_ratio.exp().numpy() == pytest.approx(expected.numpy(), rel=1e-6)


def test_ratios_are_those_of_the_densities() -> None:
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(6000, 2, generator=generator)
    target = torch.randn(2000, 2, generator=generator) + torch.tensor([1.0, 0.0])
    probe = probe_shift(source, target)
    truth = target[:, 0].double() - 0.5
    assert (probe.target_log_ratio - truth).abs().mean() < 0.1
    assert probe.area.low < 0.5 * (1 + math.erf(1 / 2)) < probe.area.high
    assert probe.temperature == pytest.approx(1, abs=0.1)


def test_a_probe_that_learns_nothing_says_that_all_images_are_alike() -> None:
    probes = [
        probe_shift(_features(300, 40, seed), _features(60, 40, seed + 50)) for seed in range(20)
    ]
    assert np.mean([probe.area.value for probe in probes]) == pytest.approx(0.5, abs=0.04)
    assert sum(probe.area.low < 0.5 < probe.area.high for probe in probes) >= 16
    assert max(float(probe.target_log_ratio.abs().max()) for probe in probes) < math.log(10)


def test_a_copy_of_the_only_source_is_not_told_apart() -> None:
    source = _features(120, 200, 1)
    probe = probe_shift(source, source.clone())
    assert probe.area.value == pytest.approx(0.5, abs=1e-3)
    assert probe.target_log_ratio.abs().max() < 1e-3
    rounded = source * (1 + 1e-7 * torch.randn(source.shape))
    assert probe_shift(source, rounded).area.value == pytest.approx(0.5, abs=0.1)


def test_a_copy_of_one_of_two_sources_is_inside_of_it() -> None:
    one, other = _features(150, 20, 1), _features(150, 20, 2, shift=6)
    probe = probe_shift(torch.cat([one, other]), one.clone())
    rows = {"one": torch.arange(150), "other": torch.arange(150, 300)}
    areas = areas_by_domain(probe, rows)
    assert areas["one"].value == pytest.approx(0.5, abs=0.05)
    assert areas["other"].low > 0.9
    assert probe.target_log_ratio.exp().max() < 10, (
        "at most 2 images of the target for each of a source"
    )


def test_separated_images_have_extreme_but_finite_ratios() -> None:
    probe = probe_shift(_features(100, 5, 1), _features(40, 5, 2, shift=1e4))
    assert probe.area.value == 1
    assert probe.area.low < 1
    assert probe.target_log_ratio.exp().isfinite().all()
    assert probe.target_log_ratio.exp().min() > 1e3
    assert probe.source_log_ratio.max() < -3


def test_the_result_is_deterministic() -> None:
    source, target = _features(90, 6, 1), _features(50, 6, 2, shift=1)
    one, again = probe_shift(source, target), probe_shift(source, target)
    assert torch.equal(one.target_log_ratio, again.target_log_ratio)
    assert one.area == again.area


def test_the_temperature_of_a_useless_ratio_leaves_none() -> None:
    generator = torch.Generator().manual_seed(0)
    log_ratio = torch.randn(500, generator=generator, dtype=torch.float64)
    is_target = torch.rand(500, generator=generator) < 0.2
    assert fit_ratio_temperature(log_ratio, is_target) > 5


def test_folds_are_stratified_and_keep_groups_together() -> None:
    features = _features(103, 3, 1)
    labels = (torch.arange(103) >= 80).long()
    fold = stratified_folds(features, labels, 5, seed=0)
    assert torch.bincount(fold[:80]).tolist() == [16] * 5
    assert sorted(torch.bincount(fold[80:]).tolist()) == [4, 4, 5, 5, 5]
    assert not torch.equal(fold, stratified_folds(features, labels, 5, seed=1))
    groups = torch.arange(103) // 4
    features[50] = features[99]
    fold = stratified_folds(features, labels, 5, seed=0, groups=groups)
    for group in groups.unique():
        assert len(fold[groups == group].unique()) == 1
    assert fold[50] == fold[99]
    assert torch.bincount(fold).min() >= 16


def test_groups_are_not_learnt_by_heart() -> None:
    generator = torch.Generator().manual_seed(0)
    videos = torch.randn(40, 60, generator=generator)
    frames = videos.repeat_interleave(8, dim=0) + 0.1 * torch.randn(320, 60, generator=generator)
    of = torch.arange(40).repeat_interleave(8)
    alone = probe_shift(frames[:160], frames[160:])
    grouped = probe_shift(frames[:160], frames[160:], groups=(of[:160], of[160:]))
    assert alone.area.value > 0.95
    assert grouped.area.value < 0.8


def test_what_the_user_should_know_is_noted() -> None:
    source, target = _features(40, 90, 1), _features(30, 90, 2)
    source[:, 5] = target[:, 5] = 2
    notes = probe_shift(source, target).notes
    assert any("1 of 90 features are constant" in note for note in notes)
    assert any("Fewer images (70) than features (90)" in note for note in notes)
    assert len(notes) == 2
    assert probe_shift(_features(90, 4, 1), _features(30, 4, 2)).notes == ()


def test_a_probe_that_does_not_converge_is_reported() -> None:
    probe = probe_shift(_features(60, 4, 1), _features(30, 4, 2), tolerance=1e-30)
    assert probe.converged < probe.folds
    assert any("did not converge in 5 of 5 folds" in note for note in probe.notes)


def test_bad_features_are_refused() -> None:
    source, target = _features(60, 4, 1), _features(30, 4, 2)
    broken = target.clone()
    broken[3, 1] = math.nan
    with pytest.raises(InputError, match=r"features of the target are NaN or infinite in 1 of 30"):
        probe_shift(source, broken)
    with pytest.raises(InputError, match="The target has 3 images; a probe needs at least 10"):
        probe_shift(source, target[:3])
    with pytest.raises(InputError, match="no image"):
        probe_shift(source, target[:0])
    with pytest.raises(InputError, match="the same features"):
        probe_shift(torch.ones(60, 4), torch.ones(30, 4))
    with pytest.raises(InputError, match="images of the target belong together"):
        probe_shift(source, target[:1].expand(30, 4))


def test_fewer_folds_than_asked_for_is_no_failure_to_converge() -> None:
    source, target = _features(20, 4, 1), _features(20, 4, 2)
    pairs = torch.arange(20) // 10
    probe = probe_shift(source, target, groups=(pairs, pairs + 2))
    assert (probe.folds, probe.converged) == (2, 2)
    assert not [note for note in probe.notes if "converge" in note]
