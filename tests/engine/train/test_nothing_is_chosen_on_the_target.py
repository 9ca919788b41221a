"""Whatever the target's labels are, the same steps are selected and the same weights trained."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

import engine.run
from engine.data import RunData, load_with_outliers
from engine.protocol import ArmEvaluated, Evaluated, RunFinished
from engine.rundir import RunDir
from tests.small_runs import MakeRun, read_events, run_here


def _with_random_target_labels(data: RunData) -> RunData:
    generator = torch.Generator().manual_seed(0)
    domains = []
    for domain in data.domains:
        if domain.is_target:
            labels = torch.randint(len(data.classes), domain.labels.shape, generator=generator)
            domain = dataclasses.replace(domain, labels=labels)  # noqa: PLW2901
        domains.append(domain)
    return dataclasses.replace(data, domains=tuple(domains))


def _chosen(run_dir: RunDir) -> list[tuple[object, ...]]:
    chosen: list[tuple[object, ...]] = []
    for event in read_events(run_dir):
        if isinstance(event, Evaluated | ArmEvaluated):
            chosen.append((event.step, event.id_accuracy, event.selection_score, event.is_best))
        elif isinstance(event, RunFinished):
            chosen.append((event.selected_step, event.id_accuracy))
    return chosen


def _ood(run_dir: RunDir) -> list[float | None]:
    return [each.ood_accuracy for each in read_events(run_dir) if isinstance(each, Evaluated)]


@pytest.mark.parametrize(("augmented", "select_on"), [(False, "accuracy"), (True, "balanced")])
def test_random_target_labels_change_nothing_but_what_is_reported(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, augmented: bool, select_on: str
) -> None:
    fields = {"arms": ["averaged", "ensemble"], "average_batchnorm": "reestimate",
              "augment_validation": augmented, "select_on": select_on}  # fmt: skip
    true, random = make_run("true", **fields), make_run("random", **fields)
    run_here(true)
    monkeypatch.setattr(
        engine.run,
        "load_with_outliers",
        lambda *given: _with_random_target_labels(load_with_outliers(*given)),
    )
    run_here(random)
    assert _chosen(true) == _chosen(random)
    assert _ood(true) != _ood(random)
    for path in true.checkpoints.iterdir():
        ours, theirs = load_file(path), load_file(random.checkpoints / path.name)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
