"""Model Stock: the mean of fine-tuned weights, moved towards the pre-trained weights.

Jang et al., "Model Stock: All we need is just a few fine-tuned models", arXiv 2403.19522,
section 4. With w₀ a tensor of the pre-trained network, wᵢ that of run i and θ the angle between
wᵢ − w₀ and wⱼ − w₀,

    w = t · mean(wᵢ) + (1 − t) · w₀,    t = N cos θ / (1 + (N − 1) cos θ),

which is t = 2 cos θ / (1 + cos θ) for two runs. The paper expects one angle between all runs; for
more than two, the mean of cos θ over all pairs is used here. The authors have published no code.
"""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor

from engine.combine.averaging import (
    WeightMean,
    Weights,
    evaluate_and_save,
    measure_barriers,
    rank_parents,
)
from engine.combine.bench import Bench
from engine.model import FineTunedNetwork
from engine.protocol import AnglesMeasured, RunFinished

FEWEST: Final = 2
"""Networks that an angle needs."""


def combine_as_stock(bench: Bench) -> RunFinished:
    """Average the parents' weights by their angles, and evaluate the result.

    The bench's network must still be the pre-trained one.
    """
    stock = Stock(pretrained_weights(bench.network))
    measure_barriers(bench, rank_parents(bench))
    averaging = bench.phases.begin("averaging_weights", len(bench.parents))
    for parent in bench.parents:
        bench.stop.raise_if_requested()
        averaging.advance()
        stock.add(parent.weights())
    bench.log.record(stock.describe())
    return evaluate_and_save(bench, stock.weights())


def pretrained_weights(network: FineTunedNetwork) -> dict[str, Tensor]:
    """Return a copy of the trained tensors that have pre-trained weights, on the CPU.

    A new last layer has none; neither have BatchNorm statistics, which are not trained.
    """
    new = () if network.is_head_trained else tuple(map(id, network.head.parameters()))
    return {
        name: parameter.detach().cpu().clone()
        for name, parameter in network.module.named_parameters()
        if id(parameter) not in new
    }


class Stock:
    """The sums that Model Stock needs; one network is in memory at a time.

    Tensors without pre-trained weights are averaged, as in a soup.
    """

    def __init__(self, pretrained: Weights) -> None:
        """``pretrained``: w₀ by name."""
        self._start = {name: tensor.double() for name, tensor in pretrained.items()}
        self._directions = {name: tensor * 0 for name, tensor in self._start.items()}
        self._moved = dict.fromkeys(self._start, 0)
        self._mean: WeightMean | None = None

    def add(self, weights: Weights) -> None:
        """Add a network."""
        if self._mean is None:
            self._mean = WeightMean(weights)
        else:
            self._mean.add(weights)
        for name, start in self._start.items():
            change = weights[name].double() - start
            norm = float(change.norm())
            if norm > 0:
                self._directions[name] += change / norm
                self._moved[name] += 1

    def cosines(self) -> dict[str, float]:
        """Return the mean of cos θ over all pairs of networks, by tensor.

        A pair has cos θ = 0 if the tensor did not move in one of the two. With unit vectors uᵢ,
        ‖Σ uᵢ‖² is the sum of cos θ over ordered pairs, plus 1 for each network.
        """
        pairs = self._count * (self._count - 1)
        return {
            name: (float(total.square().sum()) - self._moved[name]) / pairs
            for name, total in self._directions.items()
        }

    def weights(self) -> dict[str, Tensor]:
        """Return the weights, in the precision of the first network."""
        mean = self._networks.weights()
        for name, cosine in self.cosines().items():
            start, share = self._start[name], share_of_mean(cosine, self._count)
            mean[name] = (share * mean[name].double() + (1 - share) * start).to(mean[name].dtype)
        return mean

    def describe(self) -> AnglesMeasured:
        """Return the event with the means of angle and t over the tensors that moved."""
        moved = {name for name, count in self._moved.items() if count >= FEWEST}
        cosines = [cosine for name, cosine in self.cosines().items() if name in moved]
        angles = [math.degrees(math.acos(min(1.0, max(-1.0, cosine)))) for cosine in cosines]
        shares = [share_of_mean(cosine, self._count) for cosine in cosines]
        return AnglesMeasured(
            tensors=len(moved),
            mean_angle_deg=sum(angles) / len(angles) if angles else None,
            mean_share=sum(shares) / len(shares) if shares else None,
        )

    @property
    def _networks(self) -> WeightMean:
        if self._mean is None:
            raise AssertionError("no network was added")
        return self._mean

    @property
    def _count(self) -> int:
        return self._networks.count


def share_of_mean(cosine: float, count: int) -> float:
    """Return t, from 0 to 1: the share of the mean of ``count`` networks at an angle.

    Networks that moved at a right angle or more apart have nothing in common: t is 0, and the
    pre-trained weights are kept.
    """
    cosine = min(1.0, max(0.0, cosine))
    return count * cosine / (1 + (count - 1) * cosine)
