"""ODD drops the images whose loss is like that of a random label, as defined, and finds flips."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.datasets.catalog import find_image_set
from engine.evaluate.label_losses import label_excess
from engine.objectives import Batch, Objective, make_objective, odd
from engine.objectives.odd import VISITS
from engine.protocol import Cautioned, SpecError, resolve_new_spec, resolve_spec
from engine.train.checkpoint import load_last
from tests.engine.objectives.batches import (
    CLASSES,
    DOMAINS,
    IMAGES_OF_DOMAIN,
    make_batch,
    make_task,
)
from tests.flipped_labels import FLIPPED, flip_labels
from tests.small_runs import MakeRun, read_events, run_here

QUANTILE, FROM = 0.3, 3


def make_odd(**fields: object) -> Objective:
    spec = resolve_spec({"objective": "odd", "odd_quantile": QUANTILE, "odd_from": FROM, **fields})
    return make_objective(spec, make_task(), torch.device("cpu"))


def drawn_batch(seed: int) -> Batch:
    """Return a batch of few images, so that some are drawn twice, and all several times."""
    batch = replace(make_batch(seed, dtype=torch.float64), step=seed)
    generator = torch.Generator().manual_seed(seed)
    of_each = len(batch.labels) // DOMAINS
    rows = [torch.randint(6, (of_each,), generator=generator) for _ in range(DOMAINS)]
    drawn = torch.cat([each + IMAGES_OF_DOMAIN * at for at, each in enumerate(rows)])
    return replace(batch, rows=drawn, labels=drawn % CLASSES)


class Reference:
    """ODD with a list of the losses of each image, one image at a time, in float64."""

    def __init__(self, random_labels: Tensor) -> None:
        self._random_labels = random_labels.tolist()
        self._means: dict[int, tuple[float, float]] = {}
        self._visits: dict[int, int] = defaultdict(int)
        self._steps = 0

    def loss(self, batch: Batch) -> Tensor:
        log_likelihoods = batch.logits.log_softmax(dim=2)
        places = torch.arange(len(batch.labels))
        losses = -log_likelihoods[:, places, batch.labels].mean(dim=0)
        excess = (-log_likelihoods + log_likelihoods.mean(dim=2, keepdim=True)).mean(dim=0).detach()
        self._steps += 1
        rows = batch.rows.tolist()
        for row in set(rows):
            place, label = rows.index(row), int(batch.labels[rows.index(row)])
            found = [float(excess[place, each]) for each in (label, self._random_labels[row])]
            self._visits[row] += 1
            rate = max(1 / self._visits[row], 1 / VISITS)
            before = self._means.get(row, (0.0, 0.0))
            given, random = ((1 - rate) * b + rate * f for b, f in zip(before, found, strict=True))
            self._means[row] = (given, random)
        threshold = np.quantile([random for _, random in self._means.values()], QUANTILE)
        kept = [at for at, row in enumerate(rows) if self._means[row][0] < threshold]
        if self._steps < FROM or not kept:
            kept = [*range(len(rows))]
        self.kept = len(kept)
        return losses[kept].mean()


def test_losses_and_gradients_are_those_of_the_definition() -> None:
    objective = make_odd()
    reference = Reference(objective.state_dict()["odd.random_labels"])
    kept = []
    for seed in range(40):
        batch, same = drawn_batch(seed), drawn_batch(seed)
        loss, expected = objective(batch), reference.loss(same)
        loss.backward()
        expected.backward()
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(batch.logits.grad, same.logits.grad, rtol=0, atol=1e-6)
        kept.append(reference.kept)
    images = len(batch.labels)
    assert kept[: FROM - 1] == [images] * (FROM - 1)
    assert 0 < sum(kept[FROM:]) < images * len(kept[FROM:])
    assert int(objective.state_dict()["odd.visits"].max()) > VISITS


def test_the_loss_is_that_by_which_suspects_are_ranked() -> None:
    """Without masks and with one visit, the stored losses are the excess of label_losses."""
    objective, batch = make_odd(), make_batch(masks=1)
    objective(batch)
    state = objective.state_dict()
    labels = torch.stack([batch.labels, state["odd.random_labels"][batch.rows]], dim=1)
    expected = label_excess([batch.logits[0].detach()]).gather(1, labels)
    torch.testing.assert_close(
        state["odd.losses"][batch.rows].double(), expected, rtol=0, atol=1e-6
    )


def test_random_labels_are_wrong_and_those_of_the_seed() -> None:
    of_seed = [make_odd(seed=seed).state_dict()["odd.random_labels"] for seed in (0, 0, 1)]
    assert torch.equal(of_seed[0], of_seed[1])
    assert not torch.equal(of_seed[0], of_seed[2])
    assert not (of_seed[0] == torch.arange(len(of_seed[0])) % CLASSES).any()
    assert of_seed[0].unique().tolist() == [*range(CLASSES)]


def test_a_batch_of_which_all_images_would_be_dropped_is_used_whole() -> None:
    objective = make_odd(odd_from=1)
    batch = make_batch()
    against = torch.nn.functional.one_hot(batch.labels, CLASSES) * -9.0
    batch = replace(batch, logits=against.expand(1, -1, -1))
    weights = objective.others[0](batch, torch.zeros(1, len(batch.labels)))
    assert weights.tolist() == [1.0] * len(batch.labels)


def test_random_labels_of_many_images_are_compared_for_some_of_each_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(odd, "MOST_COMPARED", 9)
    [compared] = [each for name, each in make_odd().named_buffers() if name == "odd.compared"]
    assert (compared // IMAGES_OF_DOMAIN).unique().tolist() == [0, 1, 2]
    assert len(compared) == len(compared.unique()) == 9


def test_looking_does_not_count_a_visit() -> None:
    objective, batch = make_odd(), make_batch()
    with torch.no_grad():
        objective(batch)
    assert int(objective.state_dict()["odd.visits"].sum()) == 0


def test_dropping_that_never_begins_is_refused() -> None:
    with pytest.raises(SpecError, match="odd_from is 300, but the run has 200 steps"):
        resolve_new_spec({"objective": "odd", "odd_from": 300})


def test_a_run_drops_flipped_labels_and_says_how_many_images(
    make_run: MakeRun, small_emoji: Path, tmp_path: Path
) -> None:
    flipped = flip_labels(small_emoji, tmp_path / "images")
    run_dir = make_run(
        data_dir=str(flipped), objective="odd", tuning="linear", linear_features="penultimate",
        model="tf_efficientnet_lite0", weights="pretrained", views=1, image_size=64, head_steps=0,
        steps=100, eval_every=100, lr=1e-3, warmup_steps=0, odd_quantile=0.2,
    )  # fmt: skip
    run_here(run_dir)
    note = [each.message for each in read_events(run_dir) if isinstance(each, Cautioned)][-1]
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    state = checkpoint.part("objective.odd.")
    given, random = state["losses"].unbind(dim=1)
    is_seen = state["visits"] > 0
    dropped = (is_seen & (given >= random[is_seen].quantile(0.2))).nonzero()[:, 0].tolist()
    assert f"dropped {len(dropped)} of 117 training images at the end" in note
    files = find_image_set(run_dir.read_spec()).files
    found = sum(Path(files[row].path).name.startswith(FLIPPED) for row in dropped)
    assert found >= 4, "of 6 to 9 that are trained on"
    assert found > 3 * len(dropped) / 16, "three times as many as by chance"
