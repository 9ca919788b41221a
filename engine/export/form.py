"""A form of an exported network: how it is written, and how any program loads it again."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from engine.inference.classifier import Classifier
from engine.text import visible


@dataclass(frozen=True)
class Loaded:
    """An exported network, loaded without this package's own code.

    Attributes:
        logits: of images (B, 3, S, S), normalised; (B, C).
        prepare: an RGB image to what the network reads, (3, S, S).
    """

    logits: Callable[[Tensor], Tensor]
    prepare: Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Form:
    """One target of an export.

    Attributes:
        check: raises :class:`InputError` if a network cannot be exported in this form.
        write: writes the files of a network into an empty folder.
        load: loads them as any program would.
        code: lines of Python that load them from a folder.
    """

    check: Callable[[Classifier], None]
    write: Callable[[Path, Classifier], None]
    load: Callable[[Path], Loaded]
    code: Callable[[str], tuple[str, ...]]


def card_of(classifier: Classifier) -> dict[str, Any]:
    """Return the description of a network that its files carry: its card and its temperature."""
    values = msgspec.to_builtins(classifier.card)
    known = {name: value for name, value in values.items() if value is not None}
    return known | {"temperature": classifier.temperature}


def network_of(classifier: Classifier) -> nn.Module:
    """Return the module to export: the network itself, or several with averaged logits."""
    return classifier.members[0] if len(classifier.members) == 1 else classifier


def sample_input(classifier: Classifier) -> Tensor:
    """Return images to trace a network with, (2, 3, S, S): of one, the batch would be fixed."""
    size = classifier.image_size
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, size, size, generator=generator)


def prepare_with_numpy(image: Image.Image, card: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Return an RGB image as the network reads it, (3, S, S) float32, without torch.

    ``card`` has image size, mean and standard deviation.
    """
    size = card["image_size"]
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32)
    mean, std = np.float32(card["mean"]), np.float32(card["std"])
    return ((pixels / 255 - mean) / std).transpose(2, 0, 1)


def preparing_with_numpy(card: Mapping[str, Any]) -> Callable[[Image.Image], Tensor]:
    """Return :func:`prepare_with_numpy` for a card, as a tensor."""
    return lambda image: torch.from_numpy(prepare_with_numpy(image, card))


def logits_of(module: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a loaded module as it is used, without gradients."""

    @torch.inference_mode()
    def logits(images: Tensor) -> Tensor:
        return module(images)

    return logits


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, without a full stop."""
    lines = str(error).strip().splitlines()
    return visible(lines[0]).rstrip(".") if lines else type(error).__name__


def as_rgb(content: bytes) -> Image.Image:
    """Return an image file as RGB in the usual way of programs that use PIL."""
    with Image.open(io.BytesIO(content)) as image:
        return image.convert("RGB")
