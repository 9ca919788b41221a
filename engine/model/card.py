"""What a file of a trained network says of itself, so that it can be used without its run.

The header of a safetensors file maps texts to texts: values that are no texts are JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec


class NetworkCard(msgspec.Struct, frozen=True, kw_only=True):
    """How to make a trained network and show it images.

    Attributes:
        model: timm's name of it.
        model_args: what ``timm.create_model`` takes besides.
        classes: names, in the order of the labels.
        image_size: side of the images in pixels.
        resize: ``squeeze``: to a square, whatever the image's shape; nothing is cropped.
        interpolation: of that.
        mean: of each channel of images in [0, 1], subtracted.
        std: of each channel, divided by.
        tuning: ``linear``: its tensors are those of :class:`engine.model.linear.LinearNetwork`.
        linear_start: which features linear tuning reads; None: ``ones``, or it is not linear.
        dataset: that it was trained on.
        target: the domain left out of training, if one was.
        held_out_source: another one that was.
        split_seed: of the split of the others.
        validation_fraction: share of each that was held out.
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
        """Return what its last layer reads, as :func:`features_read` names it."""
        return features_read(self.tuning, self.linear_start or "ones")

    def as_header(self) -> dict[str, str]:
        """Return the texts that say so in a file's header."""
        values: dict[str, Any] = msgspec.structs.asdict(self)
        return {
            key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for key, value in values.items()
            if value is not None
        }


def features_read(tuning: str, linear_start: str) -> str:
    """Return a name of what a last layer reads, equal for networks that share it."""
    return tuning if tuning == "full" or linear_start == "ones" else f"{tuning} ({linear_start})"


def read_card(header: Mapping[str, str]) -> NetworkCard | None:
    """Return what a file says of itself; None: it is of another program, or an earlier version."""
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
