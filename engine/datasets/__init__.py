"""Image data sets on disk: layouts, registration, checks and the decoded cache. Without torch."""

from engine.datasets.catalog import (
    CATALOG,
    find_image_set,
    find_target,
    list_datasets,
)
from engine.datasets.folders import ImageSet, open_image_set
from engine.errors import DataError

__all__ = [
    "CATALOG",
    "DataError",
    "ImageSet",
    "find_image_set",
    "find_target",
    "list_datasets",
    "open_image_set",
]
