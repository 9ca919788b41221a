"""Abstention, against cross-entropy over one class more, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.objectives import Batch, make_objective
from engine.protocol import resolve_spec
from tests.engine.objectives.batches import CLASSES, DOMAINS, FEATURES, MASKS, OF_EACH, make_task

IMAGES, OUTLIERS = DOMAINS * OF_EACH, 5


class Case:
    """A last layer, a row that is not zero, and masked features of images and outliers."""

    def __init__(self, objective: str) -> None:
        spec = resolve_spec({"objective": objective, "outliers": "/anywhere"})
        self.objective = make_objective(spec, make_task(), torch.device("cpu")).double()
        random = torch.Generator().manual_seed(0)
        self.head = torch.nn.Linear(FEATURES, CLASSES).double()
        shape = (MASKS, IMAGES + OUTLIERS, FEATURES)
        self.masked = torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_()
        self.rows = torch.cat([each[:OF_EACH] for each in make_task().rows])
        self.labels = self.rows % CLASSES
        assert self.objective.abstention is not None
        self.row = [*self.objective.abstention.parameters()]
        for each in (*self.row, *self.head.parameters()):
            with torch.no_grad():
                each.copy_(torch.randn(each.shape, generator=random, dtype=torch.float64))

    def last_layer(self) -> tuple[Tensor, Tensor]:
        layer = self.objective.last_layer(self.head)
        return layer.weight, layer.bias

    def loss(self) -> Tensor:
        """Return the loss as a training step computes it."""
        logits = F.linear(self.masked, *self.last_layer())
        logits, log_odds = self.objective.split(logits, IMAGES)
        features = self.masked[0, :IMAGES].detach()
        batch = Batch(logits, features, self.labels, self.rows, DOMAINS, 0, abstention=log_odds)
        loss: Tensor = self.objective(batch)
        return loss

    def losses_of_more_classes(self) -> tuple[Tensor, Tensor]:
        """Return cross-entropies over C + 1 classes, the last of which abstains: (K, B), (K, O)."""
        weight, bias = (
            torch.cat(each) for each in zip(self.head.parameters(), self.row, strict=True)
        )
        logits = self.masked @ weight.T + bias
        targets = torch.cat([self.labels, torch.full((OUTLIERS,), CLASSES)]).repeat(MASKS)
        losses = F.cross_entropy(logits.flatten(0, 1), targets, reduction="none").view(MASKS, -1)
        return losses[:, :IMAGES], losses[:, IMAGES:]

    def gradients(self, loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, [self.masked, *self.head.parameters(), *self.row]))


def assert_same(case: Case, expected: Tensor) -> None:
    loss = case.loss()
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    for ours, theirs in zip(case.gradients(loss), case.gradients(expected), strict=True):
        assert float(theirs.abs().max()) > 1e-3
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)


def test_the_loss_is_that_of_one_class_more() -> None:
    case = Case("erm")
    images, outliers = case.losses_of_more_classes()
    assert_same(case, images.mean() + outliers.mean())


def test_weights_of_sources_apply_to_images_but_not_to_outliers() -> None:
    case = Case("groupdro")
    images, outliers = case.losses_of_more_classes()
    of_source = images.view(MASKS, DOMAINS, OF_EACH).mean(dim=(0, 2))
    weights = (0.01 * of_source.detach()).exp() / DOMAINS
    assert_same(case, (weights / weights.sum()) @ of_source + outliers.mean())


def test_large_logits_stay_finite_and_the_row_starts_from_zero() -> None:
    case = Case("erm")
    assert case.objective.abstention is not None
    assert set(type(case.objective.abstention)(3).state_dict()["weight"].flatten().tolist()) == {
        0.0
    }
    for scale in (1e3, -1e3):
        with torch.no_grad():
            case.row[1].fill_(scale)
        loss = case.loss()
        assert loss.isfinite()
        assert float(loss.detach()) > 100
        assert all(each.isfinite().all() for each in case.gradients(loss))


@pytest.mark.parametrize("outliers", [None, "/anywhere"])
def test_only_runs_with_outliers_have_the_row(outliers: str | None) -> None:
    spec = resolve_spec({"outliers": outliers})
    objective = make_objective(spec, make_task(), torch.device("cpu"))
    names = {"abstention.weight", "abstention.bias"} if outliers else set()
    assert objective.state_dict().keys() == names
