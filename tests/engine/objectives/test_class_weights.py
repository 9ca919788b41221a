"""Weights of classes, against their definition."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from engine.model import masked_cross_entropy
from engine.objectives import Task, class_weights, make_objective
from engine.protocol import HeadTrained, SpecError, StepsTaken, resolve_new_spec, resolve_spec
from tests.engine.objectives.batches import CLASSES, make_batch, make_task
from tests.small_runs import MakeRun, read_events, run_here

CPU = torch.device("cpu")
COUNTS = (32, 16, 8, 4, 0)


def skewed_task() -> Task:
    """Return a task of three sources whose classes are unequally frequent; one has no images."""
    labels = torch.arange(CLASSES).repeat_interleave(torch.tensor(COUNTS))
    return dataclasses.replace(make_task(), labels=labels.chunk(3))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("objective", ["erm", "coral"])
def test_a_loss_is_multiplied_by_the_weight_of_its_class(power: float, objective: str) -> None:
    spec = resolve_spec(
        {"objective": objective, "class_weights": "balanced", "class_weight_power": power}
    )
    batch = make_batch(dtype=torch.float64)
    labels = batch.labels % 4
    batch = dataclasses.replace(batch, labels=labels)
    raw = [count**-power for count in COUNTS[:4]]
    mean = sum(count * each for count, each in zip(COUNTS[:4], raw, strict=True)) / sum(COUNTS)
    weights = torch.tensor([raw[int(label)] / mean for label in labels], dtype=torch.float64)
    losses = F.cross_entropy(
        batch.logits.transpose(1, 2), labels.expand(len(batch.logits), -1), reduction="none"
    )
    without = make_objective(resolve_spec({"objective": objective}), skewed_task(), CPU)(batch)
    expected = without - losses.mean() + (weights * losses).mean()

    loss = make_objective(spec, skewed_task(), CPU)(batch)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    inputs = [batch.logits]
    [ours] = torch.autograd.grad(loss, inputs)
    [theirs] = torch.autograd.grad(expected, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-12)


def test_the_mean_weight_of_training_images_is_one() -> None:
    labels = torch.cat(skewed_task().labels)
    weights = class_weights(labels, 0.5)
    assert float(weights[labels].mean()) == pytest.approx(1)
    assert weights[3] / weights[1] == pytest.approx(2)  # 4 and 16 images


def test_with_power_one_every_class_has_the_same_weight_in_all() -> None:
    labels = torch.cat(skewed_task().labels)
    totals = torch.bincount(labels) * class_weights(labels, 1.0)
    assert totals.tolist() == pytest.approx([15] * 4)


def test_weights_follow_from_the_labels_and_are_not_saved() -> None:
    spec = resolve_spec({"class_weights": "balanced"})
    assert not make_objective(spec, skewed_task(), CPU).state_dict()


def test_the_last_layer_alone_weighs_images_too() -> None:
    features, labels = torch.randn(6, 4), torch.arange(6) % 3
    head, weights = torch.nn.Linear(4, 3), torch.rand(6)
    loss = masked_cross_entropy(
        head, features, labels, dropout_rate=0.0, masks=2, generator=torch.Generator(),
        weights=weights,
    )  # fmt: skip
    expected = (weights * F.cross_entropy(head(features), labels, reduction="none")).mean()
    torch.testing.assert_close(loss, expected)


def test_a_run_weighs_classes_when_it_trains_the_last_layer_first_and_after(
    make_run: MakeRun,
) -> None:
    losses = []
    for power in (0.5, 5.0):
        run_dir = make_run(
            f"power-{power}", class_weights="balanced", class_weight_power=power,
            steps=1, eval_every=1, log_every=1, head_steps=4, lr=1e-30,
        )  # fmt: skip
        run_here(run_dir)
        trained = [e for e in read_events(run_dir) if isinstance(e, HeadTrained | StepsTaken)]
        losses.append([event.loss for event in trained])
    [[head, step], [other_head, other_step]] = losses
    assert head != other_head
    assert step != other_step


def test_class_frequencies_are_corrected_once() -> None:
    with pytest.raises(SpecError, match="class_weights is 'balanced', but sampling is 'balanced'"):
        resolve_new_spec({"class_weights": "balanced", "sampling": "balanced"})


def test_a_power_without_class_weights_is_refused() -> None:
    with pytest.raises(SpecError, match="Give --class-weights balanced, or drop --class-weight-p"):
        resolve_new_spec({"class_weight_power": 1})
