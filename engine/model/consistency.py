"""Check that a network is what the method takes it for: a representation Φ and a last layer.

A timm network may draw noise of its own while training, compute other features than in evaluation,
or classify by more than its last layer. Then λ would not be the dropout rate, or the accuracy that
of another network than the one that was trained, and neither would show in the results.
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
"""Relative difference that rounding explains."""
SHOWN: Final = 3
"""Tensors that a message names."""


def check_consistency(network: FineTunedNetwork, model: str, image_size: int) -> None:
    """Refuse a network that the method would train or evaluate wrongly.

    Weights, BatchNorm statistics and random generators are left as they were.

    Args:
        network: on the processor, in 32 bits.
        model: timm's name of the network, for the message.
        image_size: side of the images in pixels.

    Raises:
        InputError: saying what is wrong with the network.
    """
    images = torch.randn(
        IMAGES, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)
    )
    with _untouched(network.module):
        in_evaluation = _check_vector(network, model, images)
        in_training = _check_noise(network, model, images)
        _check_training(network, model, images, in_training, in_evaluation)
        _check_last_layer(network, model, images, in_evaluation)
        _check_gradients(network, model, images)


@contextmanager
def reading_images(model: str, image_size: int) -> Iterator[None]:
    """Refuse a network whose features cannot be computed in the block.

    Raises:
        InputError: giving what the network raised, which may be anything.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"{model} cannot read images of {image_size} px: {error}. Choose another --image-size "
            "or network: vld models ls"
        ) from None


def _check_vector(network: FineTunedNetwork, model: str, images: Tensor) -> Tensor:
    """Return the features in evaluation."""
    network.module.eval()
    with torch.no_grad(), reading_images(model, images.shape[-1]):
        features: object = network.features(images)
    expected = (len(images), network.feature_dim)
    if not isinstance(features, Tensor) or features.shape != expected:
        raise InputError(
            f"{model} has no vector of {network.feature_dim} pooled features per image, so there "
            "is no representation to mask. Choose another network: vld models ls"
        )
    return features


def _check_noise(network: FineTunedNetwork, model: str, images: Tensor) -> Tensor:
    """Return the features while training, equal in two passes that draw nothing.

    The random generators show noise that is seldom drawn.
    """
    network.set_training(freeze_batchnorm=True)
    before = _generators()
    with torch.no_grad():
        first, second = network.features(images), network.features(images)
    if _generators() != before or not _agree(first, second):
        raise InputError(
            f"{model} adds random noise of its own while training: the same images do not always "
            "give the same features, so the dropout rate would not be the only one. "
            "Choose another network: vld models ls"
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
            f"{model} computes other features while training than in evaluation, so what is "
            "trained here would not be what is evaluated. Choose another network: vld models ls"
        )
    if not _agree(in_training[:1], alone):
        raise InputError(
            f"In {model} the features of an image depend on the other images of its batch, so "
            "accuracies would too. Choose another network: vld models ls"
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
            f"{model} does not classify by its last layer on pooled features alone, so what is "
            "trained here would not be what is evaluated. Choose another network: vld models ls"
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
            f"{len(unreached)} weights of {model} lie outside the path from the image to the last "
            f"layer and would never be trained: {shown}. Choose another network: vld models ls"
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
def _untouched(module: nn.Module) -> Iterator[None]:
    """Put mode, buffers and the global generator back when the block ends."""
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
