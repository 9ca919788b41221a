"""Linear fine-tuning: reweight existing features without learning new ones.

Zhang & Bottou, arXiv 2403.00946, equation 1: Φ̃(x) = Σ_l v_l ⊙ φ_l(x) over the last three
residual blocks, logits = V Φ̃(x) + b; only v, V and b are trained. This is a linear approximation
of fine-tuning.

The paper calls φ_l normalised without specifying how; the authors' code does not normalise it:
github.com/TjuJianyu/verylarge_dropout, ``domainbed/resnet50_unfold.py``. :data:`LinearStart`
supports both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.model.consistency import reading_images

LinearStart = Literal["ones", "authors"]
"""``ones``: φ_l is divided by its root mean square over features for each image; v starts at 1.
``authors``: φ_l is the pooled output; v is drawn from N(0, 1)."""
BLOCKS: Final = 3
"""L, number of blocks whose features are used."""
_STAGES: Final = (("layer1", "layer2", "layer3", "layer4"), ("stages",), ("layers",), ("blocks",))
"""Modules that contain the blocks in timm: ResNets; ConvNeXt; Swin; EfficientNets and ViTs."""


class LinearNetwork(nn.Module):
    """A frozen backbone, a weight for each feature of its last blocks, and a last layer.

    It has the interface of timm's networks, see :class:`engine.model.FineTunedNetwork`.
    """

    def __init__(
        self, backbone: Any, image_size: int, classes: int, start: LinearStart = "ones"
    ) -> None:
        """Add a linear last layer to the last consecutive blocks of equal width.

        Random values are drawn from torch's global generator.

        Args:
            backbone: timm's network; it stays in evaluation mode.
            image_size: side of the images in pixels.
            classes: C.
            start: whether φ_l is normalised, and the initial v.

        Raises:
            InputError: if the network has no three consecutive blocks of equal width.
        """
        super().__init__()
        backbone.reset_classifier(0)
        self.backbone = backbone.requires_grad_(requires_grad=False).eval()
        self.pretrained_cfg = backbone.pretrained_cfg
        self.block_names, width = _last_blocks(backbone, image_size)
        self.start = start
        scales = torch.ones(BLOCKS, width) if start == "ones" else torch.randn(BLOCKS, width)
        self.scales = nn.Parameter(scales)
        self.head = nn.Linear(width, classes)

    def train(self, mode: bool = True) -> LinearNetwork:
        """Switch to training mode, except for the backbone, whose features never change."""
        super().train(mode)
        self.backbone.eval()
        return self

    def take_scales(self, scales: Tensor | None) -> None:
        """Start from trained feature weights, if their shape matches."""
        if scales is not None and scales.shape == self.scales.shape:
            with torch.no_grad():
                self.scales.copy_(scales)

    def get_classifier(self) -> nn.Linear:
        """Return the last layer."""
        return self.head

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the pooled φ_l(x), with a root mean square of 1 unless ``start`` is ``authors``.

        Args:
            images: (B, 3, S, S), normalised.

        Returns:
            (B, L, D).
        """
        with torch.no_grad():
            outputs = _outputs(self.backbone, self.block_names, images)
            width = self.scales.shape[1]
            pooled = torch.stack([_pool(each, width) for each in outputs], dim=1).float()
            if self.start == "authors":
                return pooled
            rms = pooled.square().mean(dim=2, keepdim=True).sqrt()
            return pooled / rms.clamp_min(torch.finfo(pooled.dtype).eps)

    def forward_head(self, blocks: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits (B, C), or with ``pre_logits`` Φ̃(x) (B, D)."""
        features = (blocks * self.scales).sum(dim=1)
        return features if pre_logits else self.head(features)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images (B, 3, S, S), (B, C)."""
        return self.forward_head(self.forward_features(images))


def _last_blocks(backbone: Any, image_size: int) -> tuple[tuple[str, ...], int]:
    """Return the names and the width of the last three consecutive blocks of equal width."""
    names = _block_names(backbone)
    model = backbone.pretrained_cfg["architecture"]
    widths = []
    if names:
        parameter = next(backbone.parameters())
        image = torch.zeros(1, 3, image_size, image_size, device=parameter.device)
        with torch.no_grad(), reading_images(model, image_size):
            widths = [_width(each) for each in _outputs(backbone, names, image)]
    for end in range(len(names), BLOCKS - 1, -1):
        width, *others = widths[end - BLOCKS : end]
        if width is not None and all(other == width for other in others):
            return tuple(names[end - BLOCKS : end]), width
    raise InputError(
        f"{model} has no {BLOCKS} consecutive blocks of equal width, which --tuning linear needs. "
        "Choose a ResNet with bottleneck blocks, an EfficientNet, a ConvNeXt or a ViT, or --tuning "
        "full."
    )


def _block_names(backbone: nn.Module) -> list[str]:
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


def _outputs(backbone: nn.Module, names: Sequence[str], images: Tensor) -> list[Any]:
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


def _width(output: object) -> int | None:
    """Return the channels of an output: (B, C, H, W), (B, N, C) or, in Swin, (B, H, W, C).

    None for other outputs, such as several tensors.
    """
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        return None
    is_channels_last = output.ndim == 3 or output.shape[1] == output.shape[2]
    return output.shape[-1] if is_channels_last else output.shape[1]


def _pool(output: Tensor, width: int) -> Tensor:
    """Return the mean over positions, (B, C)."""
    if output.ndim == 4 and output.shape[1] == width:
        return output.mean(dim=(2, 3))
    return output.flatten(1, -2).mean(dim=1)
