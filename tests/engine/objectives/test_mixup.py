"""Mixup: its loss against its equation, and what a network sees of mixed images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.data import load_data
from engine.model.block_mask import BlockMask
from engine.objectives import Batch, Objective, make_objective
from engine.protocol import SpecError, resolve_spec
from engine.ranks import Backbone
from engine.train.loop import take_step
from engine.train.setup import prepare
from tests.engine.objectives.batches import CLASSES, make_batch, make_task
from tests.small_runs import MakeRun


def make_mixup(objective: str = "mixup") -> Objective:
    return make_objective(resolve_spec({"objective": objective}), make_task(), torch.device("cpu"))


def reference(batch: Batch) -> Tensor:
    """Return −Σ_c ỹ_c log p_c with ỹ = γ y_i + (1 − γ) y_j, one image at a time, in float64."""
    assert batch.pairs is not None
    labels, losses = batch.labels.tolist(), []
    pairs = zip(batch.pairs.partners.tolist(), batch.pairs.shares.tolist(), strict=True)
    for at, (partner, share) in enumerate(pairs):
        target = torch.zeros(CLASSES, dtype=torch.float64)
        target[labels[at]] += share
        target[labels[partner]] += 1 - share
        log_likelihoods = (
            batch.logits[:, at] - batch.logits[:, at].exp().sum(dim=1, keepdim=True).log()
        )
        losses.append(-(target * log_likelihoods).sum(dim=1))
    return torch.stack(losses).mean()


def test_losses_and_gradients_are_those_of_the_mixed_labels() -> None:
    batch, same = make_batch(dtype=torch.float64), make_batch(dtype=torch.float64)
    loss, expected = make_mixup()(batch), reference(same)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(batch.logits.grad, same.logits.grad, rtol=0, atol=1e-6)


def test_a_run_mixes_the_images_of_a_step(make_run: MakeRun) -> None:
    """The images of a run without mixup, mixed in the pairs that the loss gets."""
    seen: list[Tensor] = []
    given: list[Batch] = []
    for objective in ("erm", "mixup"):
        run_dir = make_run(objective, objective=objective, mixup_alpha=2.0)
        spec = run_dir.read_spec()
        training = prepare(spec, load_data(spec, run_dir.cache), run_dir, None)
        backbone = training.backbone

        def watched(
            images: Tensor,
            at_once: int | None,
            mask: BlockMask | None,
            backbone: Backbone = backbone,
        ) -> Tensor:
            seen.append(images)
            return backbone(images, at_once, mask)

        training.objective.register_forward_pre_hook(lambda _module, batch: given.extend(batch))
        take_step(spec, replace(training, backbone=watched), 0)
    (plain, mixed), (erm, mixup) = seen, given
    assert erm.pairs is None
    assert mixup.pairs is not None
    share = mixup.pairs.shares.view(-1, 1, 1, 1)
    expected = share * plain + (1 - share) * plain[mixup.pairs.partners]
    torch.testing.assert_close(mixed, expected)
    assert torch.equal(mixup.rows, erm.rows)


def test_a_loss_without_mixed_images_is_an_error() -> None:
    batch = make_batch()
    unmixed = Batch(batch.logits, batch.features, batch.labels, batch.rows, batch.domains, 0)
    with pytest.raises(ValueError, match="not mixed"):
        make_mixup()(unmixed)


@pytest.mark.parametrize("objective", ["mixup+groupdro", "mixup+coral", "mixup+vrex"])
def test_sources_of_mixed_images_can_be_weighted_and_compared(objective: str) -> None:
    batch = make_batch()
    make_mixup(objective)(batch).backward()
    assert batch.logits.grad is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"objective": "mixup+odd"},
        {"objective": "mixup+rpdro"},
        {"objective": "mixup", "class_weights": "balanced"},
    ],
    ids=str,
)
def test_what_needs_the_label_of_an_image_is_refused_with_the_reason(
    fields: dict[str, object],
) -> None:
    with pytest.raises(SpecError, match="a mixed image has two labels"):
        resolve_spec(fields)


def test_a_source_with_one_image_in_a_batch_is_refused() -> None:
    with pytest.raises(SpecError, match="mixup needs at least 2 images of each source"):
        resolve_spec({"objective": "mixup", "batch_size": 1})
