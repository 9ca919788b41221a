"""The outputs of the stages of a network."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from engine.data import RunData
from engine.data.batches import send
from engine.data.transforms import network_input
from engine.execution import Execution
from engine.model import FineTunedNetwork
from engine.model.blocks import block_outputs, mean_over_positions, output_width, stage_blocks
from engine.model.linear import FrozenNetwork
from engine.work import Progress

MOST_IMAGES: Final = 300
"""Images of a domain whose stages are read."""


def evenly_spaced(count: int, most: int) -> Tensor:
    """Return at most ``most`` different numbers below ``count``, evenly spaced, int64."""
    if count <= most:
        return torch.arange(count)
    return torch.linspace(0, count - 1, most, dtype=torch.float64).round().long()


def stage_features(
    network: FineTunedNetwork,
    data: RunData,
    rows: Tensor,
    execution: Execution,
    batch_size: int,
    on_progress: Progress,
) -> dict[str, Tensor]:
    """Return the features of each stage, (n, C) float32 on the CPU, by the stage's name.

    They are the mean over all positions of the output of the stage's last block; in a ViT, where
    each block is a stage, tokens for the class are positions too. Stages whose output is not one
    tensor are left out. A frozen backbone has none, because its stages never change.

    Args:
        network: left on the CPU, in evaluation mode.
        data: the images.
        rows: of the images in the data set, (n,) int64.
        execution: where the network computes.
        batch_size: images of a forward pass.
        on_progress: called with the number of images done and the total.
    """
    names = stage_blocks(network.module)
    found: dict[str, list[Tensor]] = {}
    if isinstance(network.module, FrozenNetwork) or not names:
        return {}
    execution.prepare(network.module)
    network.module.eval()
    cached = data.domains[0].cached
    done = 0
    for batch in rows.split(batch_size):
        pixels = torch.from_numpy(cached.take(batch.numpy()))
        images = network_input(send(pixels, execution.device), network.mean, network.std)
        with torch.inference_mode():
            laid_out = execution.lay_out(images)
            outputs = block_outputs(network.module, list(names.values()), laid_out)
            for name, output in zip(names, outputs, strict=True):
                if (width := output_width(output)) is not None:
                    features = mean_over_positions(output, width).float().cpu()
                    found.setdefault(name, []).append(features)
        done += len(batch)
        on_progress(done, len(rows))
    network.module.to("cpu")
    return {name: torch.cat(parts) for name, parts in found.items()}
