"""Which images ID and OOD accuracy are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data import DomainData, load_data
from engine.data.load import Indices
from engine.evaluate import evaluate_domains
from tests.small_runs import MakeRun

CORRECT = {"noto": 1, "twemoji": 3, "fluent": 5, "fluent-mono": 7}
"""Images of each split that are classified correctly; of the target's out split one more."""
OUT_IMAGES = {"noto": 8, "twemoji": 4, "fluent": 8, "fluent-mono": 8}


def predict(domain: DomainData, split: str, indices: Indices) -> Iterable[tuple[Tensor, Tensor]]:
    labels = domain.labels[torch.from_numpy(indices)]
    correct = CORRECT[domain.name] + (domain.is_target and split == "out")
    guesses = torch.where(torch.arange(len(labels)) < correct, labels, (labels + 1) % 3)
    yield F.one_hot(guesses, 3).float(), labels


def test_id_is_the_mean_of_the_sources_and_ood_the_target_s_in_split(make_run: MakeRun) -> None:
    run_dir = make_run()
    data = load_data(run_dir.read_spec(), run_dir.cache)
    domains = tuple(
        dataclasses.replace(each, out_indices=each.out_indices[: OUT_IMAGES[each.name]])
        for each in data.domains
    )
    data = dataclasses.replace(data, domains=domains)
    assert data.target is not None
    found = evaluate_domains(predict, data, "erm")
    assert found.id_accuracy == pytest.approx((1 / 8 + 3 / 4 + 5 / 8) / 3), "small ones count alike"
    assert found.ood_accuracy == pytest.approx(7 / len(data.target.in_indices))
    values = {
        (each.domain, each.split): each.value for each in found.metrics if each.name == "accuracy"
    }
    assert values["fluent-mono", "out"] == pytest.approx(8 / 8)
