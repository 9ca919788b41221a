"""What diagnostics read of a run with the same settings and another seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.data import DomainData, RunData
from engine.data.load import Indices
from engine.evaluate import network_predictor
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.model.interpolation import blend

NO_OTHER_SEED: Final = (
    "There is no finished run of the same images and settings with another --seed to compare with."
)


@dataclass(frozen=True)
class OtherSeed:
    """A network of another seed, on the images of the first.

    Attributes:
        run_id: of its run.
        features: penultimate features of every image, in order of rows, (N, D) float32.
        logits: of every image, (N, C) float32.
        is_trained: whether it was trained on the image, (N,) bool.
        halfway: logits of the mean of both networks' weights, of all validation images of the
            sources and the images of OOD accuracy, (N, C) float32; NaN elsewhere.
    """

    run_id: str
    features: Tensor
    logits: Tensor
    is_trained: Tensor
    halfway: Tensor


def trained_rows(data: RunData) -> Tensor:
    """Return whether each image of a data set is a training image of a run, (N,) bool."""
    is_trained = torch.zeros(len(data.image_set), dtype=torch.bool)
    for domain in data.sources:
        is_trained[torch.from_numpy(domain.rows[domain.in_indices])] = True
    return is_trained


def halfway_logits(
    one: FineTunedNetwork,
    other: FineTunedNetwork,
    data: RunData,
    execution: Execution,
    batch_size: int,
    on_progress: Callable[[int, int], None],
) -> Tensor:
    """Return the logits of the mean of two networks' weights, see :attr:`OtherSeed.halfway`.

    Args:
        one: a network; it is not changed.
        other: another of the same architecture.
        data: images and split of the first network's run.
        execution: how the network computes.
        batch_size: images computed at a time.
        on_progress: called with the number of images done and their total.
    """
    network = copy.deepcopy(one)
    network.module.load_state_dict(
        blend(one.module.state_dict(), other.module.state_dict(), share=0.5)
    )
    execution.prepare(network.module)
    predictor = network_predictor(network, batch_size, execution)
    judged: list[tuple[DomainData, str, Indices]] = [
        (each, "out", each.out_indices) for each in data.sources
    ]
    if data.target is not None:
        judged.append((data.target, "in", data.target.in_indices))
    logits = torch.full((len(data.image_set), len(data.classes)), torch.nan)
    done, total = 0, sum(len(indices) for _, _, indices in judged)
    with torch.inference_mode():
        for domain, split, indices in judged:
            found = [batch.float().cpu() for batch, _ in predictor(domain, split, indices)]
            logits[torch.from_numpy(domain.rows[indices])] = torch.cat(found)
            done += len(indices)
            on_progress(done, total)
    return logits
