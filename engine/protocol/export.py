"""Export of a trained network: the request to ``python -m engine.export``, and its answer.

See :mod:`engine.protocol.work`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from engine.protocol.inference import At
from engine.protocol.methods import JOINED_BY
from engine.protocol.spec import RunSpec

Target = Literal["timm", "onnx", "pt2", "hub"]

TARGETS: Final[dict[Target, str]] = {
    "timm": "folder that timm.create_model loads",
    "onnx": "ONNX file, for onnxruntime and other inference engines",
    "pt2": "torch.export file, loaded by PyTorch alone",
    "hub": "folder for the Hugging Face Hub, with a model card",
}
"""Every form of an exported network; see ``engine/export/network.py``."""


NOT_TIMM: Final = "Use --to onnx or --to pt2."
"""What to do with a network that timm does not have."""


def why_not_timm(model: str, tuning: str, linear_features: str | None) -> str | None:
    """Return why a trained network is not one of timm, or None if it is."""
    if JOINED_BY in model:
        return f"{model}, several networks side by side, which timm does not create as one"
    if tuning == "linear" and linear_features != "penultimate":
        return f"{model} with a linear model on its last blocks, which timm does not have"
    return None


def why_run_is_not_timm(spec: RunSpec) -> str | None:
    """Return why the network that a run trains is not one of timm, or None if it is."""
    return why_not_timm(spec.model, spec.tuning, spec.linear_features)


class ExportNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """Export a run's network. Response: :class:`ExportedNetwork`.

    Attributes:
        run_dir: folder of a run that trained or combined networks.
        to: form of the export.
        destination: folder to create; absolute.
        arm: an arm with a network of its own; None: the run's own network.
        at: the selected step, or the last one.
        calibrates: fit the temperature if it is not stored; it needs the run's images.
        replaces: replace a folder that contains an earlier export and nothing else.
        push_to: repository of the Hugging Face Hub to upload the folder to; only for ``hub``.
    """

    run_dir: str
    to: Target
    destination: str
    arm: str | None = None
    at: At = "best"
    calibrates: bool = True
    replaces: bool = False
    push_to: str | None = None


class ExportedFile(msgspec.Struct, frozen=True):
    """A file of an export: its name in the folder, and its size."""

    name: str
    size_bytes: int


class Verification(msgspec.Struct, frozen=True):
    """How the exported files, loaded again, compare with the run's network.

    Attributes:
        images: number of images compared.
        are_real: they are images of the run's data set; false: that was unavailable, and they were
            generated.
        transform_difference: largest difference of the prepared input, as the network reads it
            (normalised); 0: identical bit for bit.
        logit_difference: largest difference of the logits for the same input.
        logit_tolerance: the difference that would have been an error.
        same_class: number of images with the same class.
        batch_sizes: batches that were computed.
    """

    images: int
    are_real: bool
    transform_difference: float
    logit_difference: float
    logit_tolerance: float
    same_class: int
    batch_sizes: tuple[int, ...]


class ExportedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """An export that was written and verified.

    Attributes:
        run: id of the run.
        arm: whose network it is.
        at: its step.
        to: form of the export.
        folder: where it was written.
        files: what was written.
        classes: names, in the order of the logits.
        image_size: side of the images in pixels.
        temperature: the logits divided by it give calibrated probabilities; 1: uncalibrated.
        verification: comparison with the run's network.
        code: lines of Python that load it.
        url: where it was uploaded to, if it was.
    """

    run: str
    arm: str
    at: At
    to: Target
    folder: str
    files: tuple[ExportedFile, ...]
    classes: tuple[str, ...]
    image_size: int
    temperature: float
    verification: Verification
    code: tuple[str, ...]
    url: str | None = None

    @property
    def size_bytes(self) -> int:
        """Return the size of all files."""
        return sum(file.size_bytes for file in self.files)
