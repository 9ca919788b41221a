"""Check that a network consists of a deterministic representation Φ and a linear last layer.

A timm network may add noise in training, compute different features than in evaluation, or use more
than its last layer to classify. The dropout rate or the accuracy would then be wrong without
showing in the results.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.machine.devices import is_out_of_memory
from engine.model.network import FineTunedNetwork

IMAGES: Final = 2
TOLERANCE: Final = 1e-4
"""Relative difference that is attributed to rounding."""
SHOWN: Final = 3
"""Maximum number of tensors named in a message."""
_CHOOSE_ANOTHER: Final = "Choose another network; list them with: vld models ls"


def check_consistency(network: FineTunedNetwork, model: str, image_size: int) -> None:
    """Check that the method can train and evaluate a network.

    Weights, BatchNorm statistics and random generators are not changed.

    Args:
        network: on the CPU, in fp32.
        model: timm's model name, for the message.
        image_size: side of the images in pixels.

    Raises:
        InputError: if not; states the problem.
    """
    images = torch.randn(
        IMAGES, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)
    )
    with untouched(network.module):
        in_evaluation = _check_vector(network, model, images)
        in_training = _check_noise(network, model, images)
        _check_training(network, model, images, in_training, in_evaluation)
        _check_last_layer(network, model, images, in_evaluation)
        _check_gradients(network, model, images)


@contextmanager
def reading_images(model: str, image_size: int) -> Iterator[None]:
    """Convert any exception of a network's forward pass in the block into an InputError.

    Raises:
        InputError: with the network's exception.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"{model} does not accept images of {image_size} px: {str(error).rstrip('.')}. Choose "
            "another --image-size or network; list networks with: vld models ls"
        ) from None


def _check_vector(network: FineTunedNetwork, model: str, images: Tensor) -> Tensor:
    """Return the features in evaluation."""
    network.module.eval()
    with torch.no_grad(), reading_images(model, images.shape[-1]):
        features: object = network.features(images)
    expected = (len(images), network.feature_dim)
    if not isinstance(features, Tensor) or features.shape != expected:
        raise InputError(
            f"{model} does not produce {network.feature_dim} pooled features per image, so dropout "
            f"cannot be applied. {_CHOOSE_ANOTHER}"
        )
    return features


def _check_noise(network: FineTunedNetwork, model: str, images: Tensor) -> Tensor:
    """Return the features in training mode, after checking that they are deterministic.

    The states of the random generators reveal noise that is drawn rarely.
    """
    network.set_training(freeze_batchnorm=True)
    before = _generators()
    with torch.no_grad():
        first, second = network.features(images), network.features(images)
    if _generators() != before or not _agree(first, second):
        raise InputError(
            f"{model} adds its own random noise in training (the same images give different "
            f"features), in addition to --dropout. {_CHOOSE_ANOTHER}"
        )
    return first


def _check_training(
    network: FineTunedNetwork,
    model: str,
    images: Tensor,
    in_training: Tensor,
    in_evaluation: Tensor,
) -> None:
    network.set_training(freeze_batchnorm=True)
    with torch.no_grad():
        alone = network.features(images[:1])
    if not _agree(in_training, in_evaluation):
        raise InputError(
            f"{model} computes different features in training than in evaluation, so the evaluated "
            f"network would differ from the trained one. {_CHOOSE_ANOTHER}"
        )
    if not _agree(in_training[:1], alone):
        raise InputError(
            f"In {model}, an image's features depend on the other images of its batch, so "
            f"accuracies would too. {_CHOOSE_ANOTHER}"
        )


def _check_last_layer(
    network: FineTunedNetwork, model: str, images: Tensor, features: Tensor
) -> None:
    read: list[Tensor] = []
    hook = network.head.register_forward_pre_hook(lambda _head, inputs: read.append(inputs[0]))
    network.module.eval()
    try:
        with torch.no_grad():
            logits = network.module(images)
            of_module = read[-1] if read else None
            expected = network.head(features)
    finally:
        hook.remove()
    reads_features = of_module is not None and _agree(of_module, features)
    if not reads_features or not _agree(logits, expected):
        raise InputError(
            f"{model} does not classify with only its last layer on pooled features, so the "
            f"evaluated network would differ from the trained one. {_CHOOSE_ANOTHER}"
        )


def _check_gradients(network: FineTunedNetwork, model: str, images: Tensor) -> None:
    network.set_training(freeze_batchnorm=True)
    network.head(network.features(images)).square().sum().backward()
    trained = {name: each for name, each in network.module.named_parameters() if each.requires_grad}
    unreached = [name for name, each in trained.items() if each.grad is None]
    network.module.zero_grad(set_to_none=True)
    if unreached:
        shown = ", ".join(unreached[:SHOWN]) + (", …" if len(unreached) > SHOWN else "")
        raise InputError(
            f"{len(unreached)} parameters of {model} do not affect the last layer's output and "
            f"would not be trained: {shown}. {_CHOOSE_ANOTHER}"
        )


def _agree(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    scale = float(one.abs().max()) if one.numel() else 0.0
    return float((one - other).abs().max()) <= TOLERANCE * max(scale, 1e-6)


def _generators() -> tuple[object, ...]:
    """Return the states of the global random generators."""
    _, words, position, *_ = np.random.get_state(legacy=True)
    return torch.get_rng_state().tolist(), random.getstate(), np.asarray(words).tolist(), position


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Restore mode, buffers and the global generator after the block."""
    modes = {part: part.training for part in module.modules()}
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for part, is_training in modes.items():
            part.training = is_training
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])
