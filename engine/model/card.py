"""Model card in the header of a trained network's file, so that it can be used without its run.

The header of a safetensors file maps strings to strings; other values are encoded as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec


class NetworkCard(msgspec.Struct, frozen=True, kw_only=True):
    """How to build a trained network and prepare its input, and what it was trained on.

    Attributes:
        model: timm's model name.
        model_args: additional arguments of ``timm.create_model``.
        classes: names, in label order.
        image_size: side of the images in pixels.
        resize: ``squeeze``: resize to a square without cropping.
        interpolation: of the resizing.
        mean: mean of each channel, for images in [0, 1].
        std: standard deviation of each channel.
        tuning: ``linear``: the tensors are those of :class:`engine.model.linear.LinearNetwork`.
        linear_start: features of linear tuning; None: ``ones``, or not linear.
        dataset: training data set.
        target: domain left out of training, if any.
        held_out_source: other domain left out of training, if any.
        split_seed: seed of the other domains' split.
        validation_fraction: fraction of each domain held out.
        run: id of the run.
    """

    model: str
    model_args: dict[str, int]
    classes: tuple[str, ...]
    image_size: int
    resize: Literal["squeeze"] = "squeeze"
    interpolation: Literal["bilinear"] = "bilinear"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tuning: Literal["full", "linear"] = "full"
    linear_start: Literal["ones", "authors"] | None = None
    dataset: str
    target: str | None = None
    held_out_source: str | None = None
    split_seed: int
    validation_fraction: float
    run: str

    @property
    def features(self) -> str:
        """Return the features that the last layer reads, see :func:`features_read`."""
        return features_read(self.tuning, self.linear_start or "ones")

    def as_header(self) -> dict[str, str]:
        """Return the card as header texts."""
        values: dict[str, Any] = msgspec.structs.asdict(self)
        return {
            key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for key, value in values.items()
            if value is not None
        }


def features_read(tuning: str, linear_start: str) -> str:
    """Return a name for the features that a last layer reads; equal for compatible networks."""
    return tuning if tuning == "full" or linear_start == "ones" else f"{tuning} ({linear_start})"


def read_card(header: Mapping[str, str]) -> NetworkCard | None:
    """Return the card in a header; None for files of other programs or older versions."""
    try:
        values = {
            key: text if kind is str else msgspec.json.decode(text, type=kind)
            for key, kind in _TYPES.items()
            if (text := header.get(key)) is not None
        }
        return msgspec.convert(values, NetworkCard)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


_TYPES: Mapping[str, Any] = {
    "model": str, "model_args": dict[str, int], "classes": tuple[str, ...], "image_size": int,
    "resize": str, "interpolation": str, "mean": tuple[float, ...], "std": tuple[float, ...],
    "tuning": str, "linear_start": str, "dataset": str, "target": str, "held_out_source": str,
    "split_seed": int, "validation_fraction": float, "run": str,
}  # fmt: skip
