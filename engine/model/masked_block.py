"""The block of a network whose channels are masked in training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from engine.errors import InputError
from engine.model.block_mask import BlockMask
from engine.model.blocks import block_names, block_outputs, output_width, stage_blocks
from engine.model.consistency import reading_images, untouched
from engine.protocol import nearest


@dataclass(frozen=True)
class MaskedBlock:
    """The block whose channels are masked in training.

    Attributes:
        name: name of the module.
        width: C, its channels.
    """

    name: str
    width: int

    def draw(self, images: int, dropout_rate: float, generator: torch.Generator) -> BlockMask:
        """Draw a mask for each image of a batch; ``generator`` is on the network's device."""
        keep_rate = 1 - dropout_rate
        scales = torch.empty(images, self.width, device=generator.device)
        scales.bernoulli_(keep_rate, generator=generator).div_(keep_rate)
        return BlockMask(self.name, scales)


def find_block(backbone: nn.Module, name: str, model: str, image_size: int) -> MaskedBlock:
    """Return a block by its name, or the last block of a stage by the stage's name.

    Args:
        backbone: timm's network; it is not changed.
        name: of a stage or block, see :mod:`engine.model.blocks`.
        model: timm's model name, for the message.
        image_size: side of the images in pixels.

    Raises:
        InputError: if the network has none of this name, or its output is not a single tensor.
    """
    stages = stage_blocks(backbone)
    known = {**{each: each for each in block_names(backbone)}, **stages}
    if name not in known:
        hint = nearest(name, known)
        listed = f" Its stages are {', '.join(stages)}." if stages else " It has no known blocks."
        raise InputError(
            f"mask_at is {name!r}, but {model} has no stage or block of this name.{hint}{listed}"
        )
    image = torch.zeros(1, 3, image_size, image_size, device=next(backbone.parameters()).device)
    with untouched(backbone), torch.no_grad(), reading_images(model, image_size):
        backbone.eval()
        [output] = block_outputs(backbone, [known[name]], image)
    width = output_width(output)
    if width is None:
        raise InputError(
            f"mask_at is {name!r}, but the output of this block of {model} is not one tensor of "
            "channels. Name another block, or drop --mask-at."
        )
    return MaskedBlock(known[name], width)
