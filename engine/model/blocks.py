"""The residual blocks of timm's networks: their names and their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor, nn

_STAGES: Final = (("layer1", "layer2", "layer3", "layer4"), ("stages",), ("layers",), ("blocks",))
"""Modules that contain the blocks in timm: ResNets; ConvNeXt; Swin; EfficientNets and ViTs."""


def stage_blocks(backbone: nn.Module) -> dict[str, str]:
    """Return the last block of each stage by the stage's name, in order.

    Networks without stages, such as ViTs, have a stage for each block. Empty if unknown.
    """
    names = block_names(backbone)
    last = {name.rpartition(".")[0].removesuffix(".blocks"): name for name in names}
    return last if len(last) > 1 else {name: name for name in names}


def block_names(backbone: nn.Module) -> list[str]:
    """Return the names of the residual blocks in order; empty if unknown."""
    modules = dict(backbone.named_modules())
    for containers in _STAGES:
        if all(name in modules for name in containers):
            found: list[str] = []
            for name in containers:
                found += _leaves(name, modules[name])
            return found
    return []


def _leaves(name: str, module: nn.Module) -> list[str]:
    """Return the blocks in a container: its children, or the children of its stages."""
    found: list[str] = []
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}"
        inner = child.blocks if hasattr(child, "blocks") else child
        if isinstance(inner, nn.Sequential | nn.ModuleList):
            found += _leaves(f"{path}.blocks" if inner is not child else path, inner)
        else:
            found.append(path)
    return found


def block_outputs(backbone: nn.Module, names: Sequence[str], images: Tensor) -> list[Any]:
    """Run the backbone and return the outputs of the named blocks, in their order.

    The hooks are removed afterwards, so that copies of the network do not share them.
    """
    given: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            given[name] = output

        return hook

    hooks = [backbone.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        backbone.forward_features(images)  # type: ignore[operator]
    finally:
        for hook in hooks:
            hook.remove()
    return [given[name] for name in names]


def output_width(output: object) -> int | None:
    """Return the channels of an output: (B, C, H, W), (B, N, C) or, in Swin, (B, H, W, C).

    None for other outputs, such as several tensors.
    """
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        return None
    is_channels_last = output.ndim == 3 or output.shape[1] == output.shape[2]
    return output.shape[-1] if is_channels_last else output.shape[1]


def mean_over_positions(output: Tensor, width: int) -> Tensor:
    """Return the mean over positions, (B, C)."""
    if output.ndim == 4 and output.shape[1] == width:
        return output.mean(dim=(2, 3))
    return output.flatten(1, -2).mean(dim=1)
