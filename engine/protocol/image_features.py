"""Features of images in a pre-trained network: what requests that read them have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from engine.protocol.spec import Layout


class ImagesOf(msgspec.Struct, frozen=True):
    """Domains of a data set.

    Attributes:
        dataset: its name.
        data_dir: folder, archive or table; None: an embedded data set.
        domains: names; empty: all.
        layout: folder layout; ``auto`` detects it.
        exclude: exclude list; None: none.
    """

    dataset: str
    data_dir: str | None = None
    domains: tuple[str, ...] = ()
    layout: Layout = "auto"
    exclude: str | None = None


class ReadsFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """The network that computes the features, and how it computes.

    Attributes:
        model: the network.
        weights: its weights, as of a run.
        weights_key: key in the weight file.
        image_size: side of the images in pixels.
        cache_dir: folder of caches.
        device: where the network computes.
        batch_size: images computed at a time.
        threads: CPU threads; None: one for each usable core.
    """

    model: str
    weights: str
    image_size: int
    cache_dir: str
    weights_key: str | None = None
    device: str = "auto"
    batch_size: Annotated[int, Meta(ge=1)] = 64
    threads: Annotated[int, Meta(ge=1)] | None = None
