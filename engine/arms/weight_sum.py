"""The sum of a running network's weights over steps, and their mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from engine.model.linear import is_frozen

COUNT: Final = "count"


class WeightSum:
    """Sums weights on their device, in float64 (float32 where a device lacks it).

    Floating-point buffers, such as BatchNorm statistics, are summed like weights. Integer buffers
    and the weights of a frozen backbone are not.

    Attributes:
        names: the tensors that are summed.
        count: how many networks are summed.
    """

    def __init__(self, running: nn.Module) -> None:
        """``running``: the network whose weights :meth:`add` reads."""
        self.running = running
        state = running.state_dict()
        self.names = tuple(
            name
            for name, each in state.items()
            if each.is_floating_point() and not is_frozen(running, name)
        )
        self._sums = [
            torch.zeros_like(state[name], dtype=_exact(state[name])) for name in self.names
        ]
        self.count = 0

    @torch.no_grad()
    def add(self) -> None:
        """Add the weights as they are now."""
        state = self.running.state_dict()
        torch._foreach_add_(self._sums, [state[name] for name in self.names])
        self.count += 1

    def clear(self) -> None:
        """Start from zero."""
        torch._foreach_zero_(self._sums)
        self.count = 0

    def means(self) -> dict[str, Tensor]:
        """Return the mean of each summed tensor, by name."""
        return {
            name: total / self.count for name, total in zip(self.names, self._sums, strict=True)
        }

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the sums and the number of summed networks."""
        sums = dict(zip(self.names, self._sums, strict=True))
        return {**sums, COUNT: torch.tensor(self.count)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`tensors` returned."""
        self.count = int(tensors[COUNT])
        for name, total in zip(self.names, self._sums, strict=True):
            total.copy_(tensors[name])


def _exact(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "mps" else torch.float64
