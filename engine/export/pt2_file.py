"""A file of ``torch.export``, with the network's card in it; PyTorch alone loads it."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from engine.errors import InputError
from engine.export.form import (
    Form,
    Loaded,
    card_of,
    first_line,
    logits_of,
    network_of,
    preparing_with_numpy,
    sample_input,
)
from engine.inference.classifier import Classifier

FILE: Final = "model.pt2"
CARD: Final = "card.json"


def check(_classifier: Classifier) -> None:
    """Accept every network."""


def write(folder: Path, classifier: Classifier) -> None:
    """Write the file.

    Raises:
        InputError: if PyTorch cannot export the network.
        OSError: if it cannot be written.
    """
    program = program_of(network_of(classifier), classifier)
    buffer = io.BytesIO()  # torch would report a full disk as an error of its own
    card = msgspec.json.encode(card_of(classifier)).decode()
    torch.export.save(program, buffer, extra_files={CARD: card})
    (folder / FILE).write_bytes(buffer.getbuffer())


def program_of(module: nn.Module, classifier: Classifier) -> ExportedProgram:
    """Return the operations of a module for any number of images.

    Raises:
        InputError: if PyTorch cannot trace it.
    """
    images = sample_input(classifier)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(
                module, (images,), dynamic_shapes=({0: Dim("batch")},), strict=False
            )
    except Exception as error:  # of any part of torch
        raise InputError(
            f"PyTorch cannot export {classifier.card.model} for any number of images: "
            f"{first_line(error)}. Use --to timm."
        ) from error


def load(folder: Path) -> Loaded:
    """Load the file as any program does."""
    files: dict[str, Any] = {CARD: ""}
    module = torch.export.load(folder / FILE, extra_files=files).module()
    card = json.loads(files[CARD])

    return Loaded(logits_of(module), preparing_with_numpy(card))


def code(where: str) -> tuple[str, ...]:
    """Return the lines that load it from a folder."""
    path = json.dumps(f"{where}/{FILE}", ensure_ascii=False)
    return (
        f'import json, torch; files = {{"{CARD}": ""}}',
        f"model = torch.export.load({path}, extra_files=files).module()",
        f'card = json.loads(files["{CARD}"])  # classes, image_size, mean, std, …',
    )


FORM: Final = Form(check, write, load, code)
