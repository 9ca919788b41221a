"""A folder that ``timm.create_model("local-dir:…", pretrained=True)`` loads, with its transform.

timm reads ``config.json`` and ``model.safetensors``, see ``timm/models/_hub.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import timm
import timm.data
from torch import nn

from engine.errors import InputError
from engine.export.form import Form, Loaded, logits_of
from engine.inference.classifier import Classifier
from engine.model import creation_options
from engine.model.linear import PenultimateNetwork
from engine.model.tensor_file import write_tensors
from engine.protocol.export import NOT_TIMM, why_not_timm

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
_KEPT: Final = ("classifier", "first_conv", "fixed_input_size")
"""Facts about the architecture that timm needs to load weights."""


def why_not(classifier: Classifier) -> str | None:
    """Return why a network is not one of timm, or None if it is."""
    card = classifier.card
    if len(classifier.networks) > 1:
        count = len(classifier.networks)
        return f"an ensemble of {count} networks, which timm does not create as one"
    return why_not_timm(card.model, card.tuning, card.linear_features)


def check(classifier: Classifier) -> None:
    """Check that a network is one of timm.

    Raises:
        InputError: if not; names the forms that work.
    """
    if (reason := why_not(classifier)) is not None:
        raise InputError(f"Run {classifier.card.run} is {reason}. {NOT_TIMM}")


def write(folder: Path, classifier: Classifier) -> None:
    """Write configuration and weights.

    Raises:
        InputError: if the network is not one of timm.
        OSError: if they cannot be written.
    """
    check(classifier)
    module = _plain(classifier)
    card = msgspec.structs.replace(
        classifier.card, tuning="full", linear_start=None, linear_features=None
    )
    config = msgspec.json.encode(_config(module, classifier))
    (folder / CONFIG).write_bytes(msgspec.json.format(config, indent=2) + b"\n")
    write_tensors(folder / WEIGHTS, module.state_dict(), b"{}", card.as_header())


def _plain(classifier: Classifier) -> Any:
    """Return timm's network with its own last layer."""
    module: Any = classifier.members[0]
    if not isinstance(module, PenultimateNetwork):
        return module
    card = classifier.card
    options = creation_options(card.model, card.image_size)
    plain: Any = timm.create_model(card.model, num_classes=len(card.classes), **options)
    plain.load_state_dict(module.backbone.state_dict(), strict=False)
    last_layer = plain.get_classifier()
    assert isinstance(last_layer, nn.Linear)
    last_layer.load_state_dict(module.head.state_dict())
    return plain.eval()


def _config(module: Any, classifier: Classifier) -> dict[str, Any]:
    card = classifier.card
    architecture, _, tag = card.model.partition(".")
    options = creation_options(card.model, card.image_size)
    own = module.pretrained_cfg
    pretrained = {name: own[name] for name in _KEPT if name in own} | {
        "input_size": (3, card.image_size, card.image_size),
        "pool_size": None,
        "interpolation": card.interpolation,
        "crop_pct": 1.0,
        "crop_mode": "squash",  # with all of the image: squeezed, not cropped
        "mean": card.mean,
        "std": card.std,
        "num_classes": len(card.classes),
        "custom_load": False,
    }
    if tag:
        pretrained["tag"] = tag
    return {
        "architecture": architecture,
        "num_classes": len(card.classes),
        "num_features": module.num_features,
        "label_names": card.classes,
        **({"model_args": options} if options else {}),
        "pretrained_cfg": pretrained,
        "temperature": classifier.temperature,
    }


def load(folder: Path) -> Loaded:
    """Load the folder as any program does."""
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    data: Any = timm.data
    transform = data.create_transform(**data.resolve_model_data_config(model))

    return Loaded(logits_of(model), transform)


def code(where: str, source: str = "local-dir") -> tuple[str, ...]:
    """Return the lines that load it from a folder, or from the hub."""
    name = json.dumps(f"{source}:{where}", ensure_ascii=False)
    return (
        "import timm",
        f"model = timm.create_model({name}, pretrained=True).eval()",
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))",
    )


FORM: Final = Form(check, write, load, code)
