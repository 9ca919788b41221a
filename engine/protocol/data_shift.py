"""How far a domain of a data set is from the others: request and answer of ``vld shift DATA``."""

from __future__ import annotations

from typing import Final

import msgspec

from engine.protocol.diagnostics import DIAGNOSTICS, Diagnosis
from engine.protocol.image_features import ImagesOf, ReadsFeatures

OF_IMAGES: Final = tuple(DIAGNOSTICS[name] for name in ("probe", "distances"))
"""The diagnostics that need no run: they read only the pre-trained network's features."""


class MeasureShift(ReadsFeatures, frozen=True, kw_only=True, tag="data_shift"):
    """Measure how far a domain is from the others. Response: :class:`DataShift`."""

    images: ImagesOf
    target: str


class DataShift(msgspec.Struct, frozen=True):
    """How far a domain is from the others.

    Attributes:
        model: network of the features.
        weights: digest of its weights.
        target: the domain.
        sources: the others, in order of their names.
        diagnoses: results of :data:`OF_IMAGES`; they are of no run, arm or checkpoint.
        unreadable: number of images that cannot be read.
    """

    model: str
    weights: str
    target: str
    sources: tuple[str, ...]
    diagnoses: tuple[Diagnosis, ...]
    unreadable: int = 0
