"""Linear fine-tuning: a linear model on the features of frozen networks.

Zhang & Bottou, arXiv 2403.00946, equation 1: Φ̃(x) = Σ_l v_l ⊙ φ_l(x) over the last three
residual blocks, logits = V Φ̃(x) + b; only v, V and b are trained. This is a linear approximation
of fine-tuning.

The paper calls φ_l normalised without specifying how; the authors' code does not normalise it:
github.com/TjuJianyu/verylarge_dropout, ``domainbed/resnet50_unfold.py``. :data:`LinearStart`
supports both.

A linear model can also read the penultimate features, of one network or of several side by side:
Zhang & Bottou, arXiv 2506.18221.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.model.blocks import block_names, block_outputs, mean_over_positions, output_width
from engine.model.consistency import reading_images

LinearFeatures = Literal["blocks", "penultimate"]
"""``blocks``: equation 1. ``penultimate``: the input of the network's own last layer."""
LinearStart = Literal["ones", "authors"]
"""``ones``: φ_l is divided by its root mean square over features for each image; v starts at 1.
``authors``: φ_l is the pooled output; v is drawn from N(0, 1)."""
BLOCKS: Final = 3
"""L, number of blocks whose features are used."""


class FrozenNetwork(nn.Module):
    """A frozen backbone and a trained part that reads its features.

    It has the interface of timm's networks, see :class:`engine.model.FineTunedNetwork`, and also
    reads the backbone's features in place of images.

    Attributes:
        features_kind: name of the features, which the backbone and this name determine.
        features_shape: shape of an image's features.
    """

    features_kind: str
    features_shape: tuple[int, ...]

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        backbone.reset_classifier(0)
        self.backbone = backbone.requires_grad_(requires_grad=False).eval()
        self.pretrained_cfg = backbone.pretrained_cfg
        self.head: nn.Linear

    def train(self, mode: bool = True) -> FrozenNetwork:
        """Switch to training mode, except for the backbone, whose features never change."""
        super().train(mode)
        self.backbone.eval()
        return self

    def get_classifier(self) -> nn.Linear:
        """Return the last layer."""
        return self.head

    def forward_features(self, inputs: Tensor) -> Tensor:
        """Return the features of the frozen backbone, float32, (B, …).

        Args:
            inputs: images (B, 3, S, S), normalised, or what this returned for them.
        """
        if inputs.ndim < 4:
            return inputs
        with torch.no_grad():
            return self._features(inputs)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits (B, C), or with ``pre_logits`` the last layer's input (B, D)."""
        return features if pre_logits else self.head(features)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (B, C) of images (B, 3, S, S) or of their frozen features."""
        return self.forward_head(self.forward_features(inputs))

    def _features(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def is_frozen(module: nn.Module, name: str) -> bool:
    """Return whether a tensor of a network, by its name, never changes in training."""
    return isinstance(module, FrozenNetwork) and name.startswith("backbone.")


class LinearNetwork(FrozenNetwork):
    """A frozen backbone, a weight for each feature of its last blocks, and a last layer."""

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
        super().__init__(backbone)
        self.block_names, width = _last_blocks(backbone, image_size)
        self.start = start
        self.features_kind, self.features_shape = f"blocks ({start})", (BLOCKS, width)
        scales = torch.ones(BLOCKS, width) if start == "ones" else torch.randn(BLOCKS, width)
        self.scales = nn.Parameter(scales)
        self.head = nn.Linear(width, classes)

    def take_scales(self, scales: Tensor | None) -> None:
        """Start from trained feature weights, if their shape matches."""
        if scales is not None and scales.shape == self.scales.shape:
            with torch.no_grad():
                self.scales.copy_(scales)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits (B, C), or with ``pre_logits`` Φ̃(x) (B, D)."""
        return super().forward_head((features * self.scales).sum(dim=1), pre_logits)

    def _features(self, images: Tensor) -> Tensor:
        """Return the pooled φ_l(x), with a root mean square of 1 unless ``start`` is ``authors``.

        The shape is (B, L, D).
        """
        outputs = block_outputs(self.backbone, self.block_names, images)
        width = self.scales.shape[1]
        pooled = torch.stack([mean_over_positions(each, width) for each in outputs], dim=1).float()
        if self.start == "authors":
            return pooled
        rms = pooled.square().mean(dim=2, keepdim=True).sqrt()
        return pooled / rms.clamp_min(torch.finfo(pooled.dtype).eps)


class PenultimateNetwork(FrozenNetwork):
    """A last layer on the penultimate features of a frozen backbone, (B, D)."""

    def __init__(self, backbone: Any, classes: int) -> None:
        """Add a linear last layer, drawn from torch's global generator.

        Args:
            backbone: timm's network, or :class:`SideBySide`; it stays in evaluation mode.
            classes: C.

        Raises:
            InputError: if the network's own classifier is not a linear layer.
        """
        width = _penultimate_width(backbone)
        super().__init__(backbone)
        self.features_kind, self.features_shape = "penultimate", (width,)
        self.head = nn.Linear(width, classes)

    def _features(self, images: Tensor) -> Tensor:
        spatial = self.backbone.forward_features(images)
        penultimate: Tensor = self.backbone.forward_head(spatial, pre_logits=True)
        return penultimate.float()


class SideBySide(nn.Module):
    """Several frozen networks read as one: their penultimate features, concatenated.

    It has the interface of a timm network, and normalises images for each network as in its
    pre-training.
    """

    def __init__(self, networks: Sequence[Any]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.pretrained_cfg = networks[0].pretrained_cfg

    def reset_classifier(self, classes: int) -> None:
        """Remove the classifiers."""
        for network in self._networks():
            network.reset_classifier(classes)

    def get_classifier(self) -> tuple[Any, ...]:
        """Return the networks' own classifiers."""
        return tuple(network.get_classifier() for network in self._networks())

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the penultimate features of all networks, (B, D₁ + D₂ + …).

        ``images`` are normalised for the first network.
        """
        parts = []
        for network in self._networks():
            spatial = network.forward_features(self._renormalised(images, network))
            parts.append(network.forward_head(spatial, pre_logits=True))
        return torch.cat(parts, dim=1)

    def forward_head(self, features: Tensor, pre_logits: bool = True) -> Tensor:  # noqa: ARG002
        """Return the features."""
        return features

    def _networks(self) -> Sequence[Any]:
        return list(self.networks)

    def _renormalised(self, images: Tensor, network: Any) -> Tensor:
        first, own = self.pretrained_cfg, network.pretrained_cfg
        if (first["mean"], first["std"]) == (own["mean"], own["std"]):
            return images
        mean, std, own_mean, own_std = (
            images.new_tensor(config[key]).view(3, 1, 1)
            for config in (first, own)
            for key in ("mean", "std")
        )
        return (images * std + mean - own_mean) / own_std


def _penultimate_width(backbone: Any) -> int:
    """Return the number of features that a network's own classifier reads."""
    if isinstance(backbone, SideBySide):
        return sum(_penultimate_width(network) for network in backbone.networks)
    classifier = backbone.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise no_linear_last_layer(backbone.pretrained_cfg["architecture"], classifier)
    return classifier.in_features


def no_linear_last_layer(model: str, layer: object) -> InputError:
    """Return the error for a network whose classifier is not a linear layer."""
    return InputError(
        f"{model} has no linear last layer on pooled features (it has {type(layer).__name__}), so "
        "dropout cannot be applied. Choose a ResNet, EfficientNet, ConvNeXt, ViT or Swin, for "
        "example."
    )


def _last_blocks(backbone: Any, image_size: int) -> tuple[tuple[str, ...], int]:
    """Return the names and the width of the last three consecutive blocks of equal width."""
    names = block_names(backbone)
    model = backbone.pretrained_cfg["architecture"]
    widths = []
    if names:
        parameter = next(backbone.parameters())
        image = torch.zeros(1, 3, image_size, image_size, device=parameter.device)
        with torch.no_grad(), reading_images(model, image_size):
            widths = [output_width(each) for each in block_outputs(backbone, names, image)]
    for end in range(len(names), BLOCKS - 1, -1):
        width, *others = widths[end - BLOCKS : end]
        if width is not None and all(other == width for other in others):
            return tuple(names[end - BLOCKS : end]), width
    raise InputError(
        f"{model} has no {BLOCKS} consecutive blocks of equal width, which --tuning linear reads. "
        "Choose a ResNet with bottleneck blocks, an EfficientNet, a ConvNeXt or a ViT, or "
        "--linear-features penultimate, or --tuning full."
    )
