"""The straight line between the weights of two networks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def blend(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Interpolate linearly: ``share`` 0 gives the first network, 1 the second."""
    return {
        name: torch.lerp(tensor.double(), second[name].double(), share).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }
