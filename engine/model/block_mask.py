"""Masks inside the backbone: of the channels that a block puts out.

A channel is masked at all positions, as in Tompson et al., arXiv 1411.4280: neighbouring positions
repeat most of a channel's information. In a network whose representation is the mean of its last
block over positions, such as a ResNet, masks of that block are masks of the representation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class BlockMask:
    """A mask of a block's channels for each image.

    Attributes:
        block: name of the module.
        scales: 0 or 1/(1 − λ), (B, C).
    """

    block: str
    scales: Tensor

    def of_images(self, part: slice) -> BlockMask:
        """Return the mask of some of the images."""
        return BlockMask(self.block, self.scales[part])

    @contextmanager
    def applied(self, backbone: nn.Module) -> Iterator[None]:
        """Mask the block's output in the forward passes of the context, of exactly B images."""

        def mask(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            images, width = self.scales.shape
            is_channels_first = output.ndim == 4 and output.shape[1] == width
            shape = (width, 1, 1) if is_channels_first else (*[1] * (output.ndim - 2), width)
            return output * self.scales.view(images, *shape).to(output.dtype)

        hook = backbone.get_submodule(self.block).register_forward_hook(mask)
        try:
            yield
        finally:
            hook.remove()
