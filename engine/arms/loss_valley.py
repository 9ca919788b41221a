"""The loss valley of SWAD: the stretch of training whose weights are averaged.

Cha et al., "SWAD: Domain Generalization by Seeking Flat Minima", arXiv 2102.08604, as in the
authors' code (github.com/khanrc/swad, ``LossValley`` in ``domainbed/swad.py``). A segment is the
mean of the weights at the steps since the previous evaluation; each segment that is averaged counts
equally.

- The valley begins when the first of the last N_s segments has the lowest validation loss of them.
  The threshold is r times their mean loss. Of the last N_e segments, those before this first one,
  back to the latest above the threshold, and this one are averaged, without the earliest of them.
- From then on, once the first of the last N_e segments is not before the beginning, it is averaged
  at each evaluation. Segments that were averaged when the valley began count again.
- The valley ends when all of the last N_e losses are above the threshold.
- At the end of the run, the segments after the first of the last N_e are averaged too, as long as
  one of those left is not above the threshold. If the valley has not begun, the last segment is the
  result.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

RULE: Final = "rule"
LOSSES: Final = "losses"
ENDS: Final = "ends"


class Segment(NamedTuple):
    """The mean weights between two evaluations.

    Attributes:
        loss: validation loss (nats) at the second evaluation.
        end: updates until then.
        weights: the means.
    """

    loss: float
    end: int
    weights: tuple[Tensor, ...]


class SegmentMean:
    """The mean of segments, in float64.

    The first one stands in for the mean until another is added, as in the authors' code.
    """

    def __init__(self, first: Sequence[Tensor], count: int = 0) -> None:
        """``first``: the sum of ``count`` segments; 0: one that stands in."""
        self.sums = [each.double() for each in first]
        self.count = count

    def add(self, weights: Sequence[Tensor]) -> None:
        """Add a segment."""
        sums = [each.double() for each in weights]
        if self.count > 0:
            sums = [total + each for total, each in zip(self.sums, sums, strict=True)]
        self.sums = sums
        self.count += 1

    def weights(self) -> list[Tensor]:
        """Return the mean."""
        return [total / max(1, self.count) for total in self.sums]


class LossValley:
    """Averages the segments of the valley, which are observed one after the other.

    At most ``max(converge, tolerance)`` segments are stored, and none after the end.

    Attributes:
        has_ended: later segments do not change the result.
    """

    def __init__(self, converge: int, tolerance: int, ratio: float) -> None:
        """``converge``, ``tolerance`` and ``ratio`` are N_s, N_e and r."""
        self._converge, self._tolerance, self._ratio = converge, tolerance, ratio
        self._recent: deque[Segment] = deque(maxlen=max(converge, tolerance))
        self._mean: SegmentMean | None = None
        self._threshold, self._begin = math.inf, 0
        self.has_ended = False

    @property
    def has_begun(self) -> bool:
        """Return whether the valley has begun."""
        return self._mean is not None

    def observe(self, segment: Segment) -> None:
        """Add the segment that ends at an evaluation."""
        if self.has_ended:
            return
        self._recent.append(segment)
        if self._mean is None:
            self._begin_if_converged()
            return
        tolerated = self._tolerated()
        if tolerated[0].end < self._begin:
            return
        if _lowest(tolerated) > self._threshold:
            self.has_ended = True
            self._recent.clear()
        else:
            self._mean.add(tolerated[0].weights)

    def weights(self) -> list[Tensor]:
        """Return the result if the run ends now, in float64. At least one segment was observed."""
        if self._mean is None:
            return [each.double() for each in self._recent[-1].weights]
        mean = copy.copy(self._mean)
        left = self._tolerated()[1:]
        while left and _lowest(left) <= self._threshold:
            mean.add(left.pop(0).weights)
        return mean.weights()

    def _begin_if_converged(self) -> None:
        window = list(self._recent)[-self._converge :]
        first = window[0]
        if len(window) < self._converge or _lowest(window) < first.loss:
            return
        mean = self._mean = SegmentMean(first.weights)
        self._begin = first.end
        self._threshold = self._ratio * sum(each.loss for each in window) / len(window)
        beyond = self._tolerance - self._converge
        averaged = window[1 : 1 - beyond] if beyond < 0 else []
        if beyond > 0:
            earlier = self._tolerated()[: beyond + 1]
            above = [at for at, each in enumerate(earlier) if each.loss > self._threshold]
            averaged = earlier[above[-1] + 2 if above else 1 :]
        for each in averaged:
            mean.add(each.weights)

    def _tolerated(self) -> list[Segment]:
        """Return the last N_e segments, the oldest first."""
        return list(self._recent)[-self._tolerance :]

    def tensors(self) -> dict[str, Tensor]:
        """Return the state."""
        losses = [each.loss for each in self._recent]
        found = {
            LOSSES: torch.tensor(losses, dtype=torch.float64),
            ENDS: torch.tensor([each.end for each in self._recent], dtype=torch.int64),
        }
        for at, segment in enumerate(self._recent):
            found |= {f"recent.{at}.{index}": each for index, each in enumerate(segment.weights)}
        if self._mean is not None:
            rule = (self._threshold, self._begin, self._mean.count, self.has_ended)
            found[RULE] = torch.tensor(rule, dtype=torch.float64)
            found |= {f"sum.{index}": each for index, each in enumerate(self._mean.sums)}
        return found

    def restore(self, tensors: Mapping[str, Tensor], weights: int) -> None:
        """Restore what :meth:`tensors` returned; a segment has ``weights`` tensors."""

        def of(prefix: str) -> tuple[Tensor, ...]:
            return tuple(tensors[f"{prefix}.{index}"] for index in range(weights))

        pairs = zip(tensors[LOSSES].tolist(), tensors[ENDS].tolist(), strict=True)
        self._recent.clear()
        self._recent.extend(
            Segment(loss, end, of(f"recent.{at}")) for at, (loss, end) in enumerate(pairs)
        )
        if RULE in tensors:
            self._threshold, begin, count, ended = tensors[RULE].tolist()
            self._begin, self.has_ended = int(begin), bool(ended)
            self._mean = SegmentMean(of("sum"), int(count))


def _lowest(segments: Sequence[Segment]) -> float:
    return min(each.loss for each in segments)
