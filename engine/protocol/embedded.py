"""The data sets included in the package, and the defaults of runs on named data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

EMBEDDED_DOMAINS: Final = {
    "emoji": ("fluent", "fluent-mono", "noto", "twemoji"),
    "objects-drawn": ("clipart", "emoji", "lineart"),
}
"""Domains of each embedded data set."""
EMBEDDED_DATASETS: Final = tuple(EMBEDDED_DOMAINS)
"""Data sets included in the package."""
_IMAGES: Final = Path(__file__).parents[1] / "datasets"
EMBEDDED_ARCHIVES: Final[Mapping[str, Path]] = {
    "emoji": _IMAGES / "emoji" / "emoji.zip",
    "objects-drawn": _IMAGES / "objects" / "objects-drawn.zip",
}
"""The zip archive of each embedded data set."""

DEFAULT_DATASET: Final = "objects-drawn"
"""The data set of new runs that name none: its domains differ in look and in the objects they
show, as a user's images differ from what a network was trained on."""
EARLIER_DEFAULT_DATASET: Final = "emoji"
"""The data set that specs, studies and presets without one were stored for."""

DATASET_DEFAULTS: Final[dict[str, dict[str, object]]] = {
    "emoji": {"target": "fluent-mono", "image_size": 96},
    "objects-drawn": {"target": "clipart", "image_size": 96},
    "objects": {"image_size": 96},
}
"""Defaults of single data sets; recipe and user override them."""


def location_of(name: str, data_dir: str | None) -> str | None:
    """Return where a run's images are: a folder, or the archive of an embedded data set."""
    return data_dir or (str(EMBEDDED_ARCHIVES[name]) if name in EMBEDDED_ARCHIVES else None)


def dataset_defaults(name: str, data_dir: str | None) -> dict[str, object]:
    """Return the defaults of runs on a data set.

    An embedded data set has no folder: a folder of that name holds other images, and has none.
    """
    is_other = data_dir is not None and name in EMBEDDED_DATASETS
    return {} if is_other else DATASET_DEFAULTS.get(name, {})
