"""Differences of the sources' features, against DomainBed's CORAL."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from engine.objectives import make_objective
from engine.protocol import SpecError, resolve_new_spec, resolve_spec
from tests.engine.objectives.batches import make_batch, make_task

CPU = torch.device("cpu")


def mean_cov(x: Tensor, y: Tensor) -> Tensor:
    """Compare two domains' features, as ``AbstractMMD.mmd`` of DomainBed does."""
    centred = [each - each.mean(0, keepdim=True) for each in (x, y)]
    covariances = [each.t() @ each / (len(each) - 1) for each in centred]
    of_means = (x.mean(0, keepdim=True) - y.mean(0, keepdim=True)).pow(2).mean()
    return of_means + (covariances[0] - covariances[1]).pow(2).mean()


@pytest.mark.parametrize(("domains", "of_each"), [(2, 2), (3, 4), (4, 15)])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_pairs_of_sources_are_compared_as_in_domainbed(
    domains: int, of_each: int, weight: float
) -> None:
    spec = resolve_spec({"objective": "coral", "coral_weight": weight})
    task = make_task(domains)
    batch = make_batch(domains=domains, of_each=of_each, dtype=torch.float64)
    plain = make_objective(resolve_spec({}), task, CPU)(batch)
    parts = batch.features.chunk(domains)
    pairs = [mean_cov(*pair) for pair in itertools.combinations(parts, 2)]
    expected = plain + weight * torch.stack(pairs).mean()

    loss = make_objective(spec, task, CPU)(batch)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    assert loss > plain
    inputs = [batch.features, batch.logits]
    for ours, theirs in zip(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 1}, "batch_size is 1, but objective coral needs at least 2 images of each"),
        (
            {"tuning": "linear", "linear_features": "penultimate"},
            "linear_features is 'penultimate', but objective coral acts on the features only",
        ),
    ],
)
def test_a_run_without_moments_that_could_change_is_refused(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        resolve_new_spec({"objective": "groupdro+coral", **fields})
