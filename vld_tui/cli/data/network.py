"""Options of commands on images that read features of a pre-trained network."""

from __future__ import annotations

from typing import Any, Final

from engine.protocol import RunSpec, resolve_spec
from vld_tui.cli.options import one_spelling
from vld_tui.home import Home
from vld_tui.launch.datasets import values_of
from vld_tui.runs.fields import spec_values, with_absolute_paths

NETWORK_FIELDS: Final = ("model", "weights", "weights_key", "image_size", "device", "threads")
"""The settings of a run that these commands have too, with the defaults of a run on the images."""


def spec_of_images(home: Home, what: str, given: dict[str, Any]) -> RunSpec:
    """Return a run on images, whose network computes the features.

    Args:
        home: where data sets are.
        what: a data set, or a path.
        given: options of :data:`NETWORK_FIELDS`.
    """
    options = spec_values(one_spelling(given))
    return resolve_spec({**values_of(home, what), **with_absolute_paths(options)})


def network_of(home: Home, spec: RunSpec, batch: int) -> dict[str, Any]:
    """Return the fields of :class:`engine.protocol.image_features.ReadsFeatures`."""
    fields = {name: getattr(spec, name) for name in NETWORK_FIELDS}
    return {**fields, "cache_dir": str(home.cache), "batch_size": batch}
