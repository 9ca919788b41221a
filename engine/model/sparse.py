"""Sparse networks: pruning by magnitude, and zero weights that stay zero in training.

Iofinova et al., "How Well Do Sparse ImageNet Models Transfer?", arXiv 2111.13445;
github.com/IST-DASLab/sparse-imagenet-transfer, which fine-tunes only the weights of a pruned
network that are not zero. Their networks were pruned during pre-training; here a network is pruned
once, before fine-tuning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.model.linear import SideBySide
from engine.model.network import FineTunedNetwork
from engine.protocol import RunSpec

FEWEST_ZEROS: Final = 0.05
"""Minimum share of zeros in weights whose zeros are kept: dense networks have fewer."""


def prunable_weights(network: FineTunedNetwork) -> dict[str, nn.Parameter]:
    """Return the weights of convolutions and linear layers that may be zero, by tensor name.

    The first convolution (of each network, if several are used side by side), depthwise
    convolutions and the last layer stay dense: they have few weights, and the last layer is new.
    """
    dense = {id(network.head.weight), *map(id, _first_convolutions(network.module))}
    candidates = {
        id(layer.weight)
        for layer in network.module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and not _is_depthwise(layer)
    }
    return {
        name: weight
        for name, weight in network.module.named_parameters()
        if id(weight) in candidates - dense
    }


def _first_convolutions(module: nn.Module) -> Iterator[Tensor]:
    """Yield the weight of the first convolution of each network."""
    networks = [
        network
        for part in module.modules()
        if isinstance(part, SideBySide)
        for network in part.networks
    ]
    for network in networks or [module]:
        found = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        first = next(found, None)
        if first is not None:
            yield first.weight


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels


@torch.no_grad()
def prune(network: FineTunedNetwork, sparsity: float) -> None:
    """Set the smallest absolute weights of each prunable layer to zero, ``sparsity`` of them."""
    for weight in prunable_weights(network).values():
        count = round(sparsity * weight.numel())
        smallest = weight.abs().flatten().topk(count, largest=False).indices
        weight.view(-1)[smallest] = 0.0


def sparsity_of(network: FineTunedNetwork) -> float:
    """Return the share of prunable weights that are exactly zero, 0 to 1."""
    weights = prunable_weights(network).values()
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / max(1, sum(weight.numel() for weight in weights))


def make_sparse(network: FineTunedNetwork, spec: RunSpec) -> None:
    """Prune a run's initial weights, or check that they are sparse if their zeros are kept.

    Raises:
        InputError: if zeros are to be kept and there are hardly any; names their share.
    """
    if spec.sparsity > 0:
        prune(network, spec.sparsity)
    if spec.keep_zeros and (share := sparsity_of(network)) < FEWEST_ZEROS:
        raise InputError(
            f"Only {share:.2%} of the weights of {spec.model} (weights: {spec.weights}) are zero, "
            f"less than {FEWEST_ZEROS:.0%}, so --keep-zeros has nothing to keep. Give --weights of "
            "a pruned network, or --sparsity to prune this one, or drop --keep-zeros."
        )


class Zeros:
    """The zeros of a network's trained weights, which stay zero.

    Without ``keeps``, there are none.
    """

    def __init__(self, network: FineTunedNetwork, *, keeps: bool) -> None:
        weights = prunable_weights(network) if keeps else {}
        self._weights = {name: each for name, each in weights.items() if each.requires_grad}
        self._masks = {name: each.detach() == 0 for name, each in self._weights.items()}

    @torch.no_grad()
    def restore(self) -> None:
        """Set the weights to zero that were zero at the start."""
        for name, weight in self._weights.items():
            weight.masked_fill_(self._masks[name], 0.0)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the masks, true where a weight is zero: training may reach zero elsewhere."""
        return self._masks

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the masks that :meth:`tensors` returned."""
        for name, mask in self._masks.items():
            mask.copy_(tensors[name])
