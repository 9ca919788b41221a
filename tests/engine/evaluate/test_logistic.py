"""Logistic regressions of several classes, out of fold."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from engine.evaluate.logistic import fit_multinomial_folds

CLASSES = 4


@pytest.mark.parametrize("penalty", [1.0, 30.0])
@pytest.mark.parametrize("dimension", [6, 90])
def test_probabilities_of_several_classes_are_those_of_scikit_learn(
    dimension: int, penalty: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % CLASSES
    mixing = torch.randn(dimension, dimension, generator=generator)
    features = torch.randn(80, dimension, generator=generator) @ mixing
    features[:, 0] += 3 * labels
    features = features * torch.logspace(-3, 3, dimension) + 5
    features[:, 2] = 7.0
    fold = torch.arange(80) // CLASSES % 5
    seen: list[tuple[int, int]] = []
    fits = fit_multinomial_folds(
        features, labels, CLASSES, fold, penalty=penalty, tolerance=1e-10,
        on_progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert fits.converged.all()
    assert fits.passes < 1000
    assert seen == [(done, 5) for done in range(6)]
    x = features.double().numpy()
    for at in range(5):
        fitted, judged = (fold != at).numpy(), (fold == at).numpy()
        reference = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=1 / penalty, solver="lbfgs", tol=1e-12, max_iter=20_000),
        ).fit(x[fitted], labels.numpy()[fitted])
        expected = reference.predict_proba(x[judged])
        assert fits.logits[judged].softmax(dim=1).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_class_that_the_other_folds_lack_is_improbable() -> None:
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(40) % 2
    labels[:2] = 2
    fold = torch.arange(40) // 2 % 5
    fold[labels == 2] = 0
    logits = fit_multinomial_folds(features, labels, 3, fold).logits
    assert logits.isfinite().all()
    assert float(logits[:2].softmax(dim=1)[:, 2].max()) < 0.05
