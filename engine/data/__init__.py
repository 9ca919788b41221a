"""Images: where they lie, how they are split, cached, augmented and drawn in batches."""

from engine.data.augment import augment_batch
from engine.data.batches import TrainingBatches, evaluation_batches
from engine.data.catalog import (
    CATALOG,
    DatasetListing,
    DomainListing,
    find_image_set,
    find_target,
    list_datasets,
)
from engine.data.errors import DataError
from engine.data.folders import ImageSet, open_image_set
from engine.data.load import DomainData, RunData, load_data
from engine.data.splits import seed_hash, split_indices

__all__ = [
    "CATALOG",
    "DataError",
    "DatasetListing",
    "DomainData",
    "DomainListing",
    "ImageSet",
    "RunData",
    "TrainingBatches",
    "augment_batch",
    "evaluation_batches",
    "find_image_set",
    "find_target",
    "list_datasets",
    "load_data",
    "open_image_set",
    "seed_hash",
    "split_indices",
]
