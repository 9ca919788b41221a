"""An ONNX file with logits and calibrated probabilities, and the network's card as metadata."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.export.form import (
    Form,
    Loaded,
    card_of,
    first_line,
    network_of,
    preparing_with_numpy,
)
from engine.export.pt2_file import program_of
from engine.inference.classifier import Classifier
from engine.protocol.extras import install_command

FILE: Final = "model.onnx"
INPUT: Final = "images"
OUTPUTS: Final = ("logits", "probabilities")
PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
_OPERATOR: Final = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")


class _WithProbabilities(nn.Module):
    """A network with a second output: the probabilities, calibrated by the temperature."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the probabilities, (B, C) each."""
        logits: Tensor = self.network(images)
        return logits, (logits / self.temperature).softmax(dim=1)


def check(_classifier: Classifier) -> None:
    """Check that the packages are installed.

    Raises:
        InputError: if not; names the command that installs them.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--to onnx needs {' and '.join(missing)}. Install with: {install_command('onnx')}"
        )


def write(folder: Path, classifier: Classifier) -> None:
    """Write the file; weights of more than 1.5 GiB are in a second one.

    Raises:
        InputError: if ONNX cannot express the network; names the operator.
        OSError: if it cannot be written.
    """
    module = _WithProbabilities(network_of(classifier), classifier.temperature).eval()
    traced = program_of(module, classifier)
    with _quietly():
        try:
            program: Any = torch.onnx.export(
                traced,
                dynamo=True,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise InputError(_refusal(error, classifier.card.model)) from error
        for name, value in card_of(classifier).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            program.model.metadata_props[name] = text
        program.save(folder / FILE)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep warnings away, and what is printed out of stdout, which carries reports."""
    with (
        torch.no_grad(),
        contextlib.redirect_stdout(sys.stderr),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _refusal(error: BaseException, model: str) -> str:
    """Return the message for a network that cannot be exported, with the operator if known."""
    advice = "Use --to pt2 or --to timm."
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if found := _OPERATOR.search(str(cause)):
        name = found[1].replace(".", "::", 1)
        return f"ONNX has no operator for {name}, which {model} uses. {advice}"
    return f"ONNX cannot express {model}: {first_line(cause)}. {advice}"


def load(folder: Path) -> Loaded:
    """Load the file as any program does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        folder / FILE, options, providers=["CPUExecutionProvider"]
    )
    texts = session.get_modelmeta().custom_metadata_map
    card = {name: json.loads(texts[name]) for name in ("image_size", "mean", "std")}

    def logits(images: Tensor) -> Tensor:
        (result,) = session.run(OUTPUTS[:1], {INPUT: images.contiguous().numpy()})
        return torch.from_numpy(result)

    return Loaded(logits, preparing_with_numpy(card))


def code(where: str) -> tuple[str, ...]:
    """Return the lines that load it from a folder."""
    path = json.dumps(f"{where}/{FILE}", ensure_ascii=False)
    return (
        "import onnxruntime",
        f"session = onnxruntime.InferenceSession({path})",
        "card = session.get_modelmeta().custom_metadata_map  # classes, image_size, mean, std, …",
    )


FORM: Final = Form(check, write, load, code)
