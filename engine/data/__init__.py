"""The images of one run: split, augmented and drawn in batches."""

from engine.data.batches import (
    TrainingBatches,
    ValidationAugmentation,
    evaluation_batches,
    validation_augmentation,
)
from engine.data.frozen import FeatureRows, FrozenFeatures, RowsInMemory
from engine.data.load import (
    DomainData,
    RunData,
    groups_of,
    load_data,
    seed_hash,
    split_groups,
    split_indices,
)
from engine.data.mixing import Pairs
from engine.data.outliers import load_with_outliers
from engine.data.sampling import Sampler

__all__ = [
    "DomainData",
    "FeatureRows",
    "FrozenFeatures",
    "Pairs",
    "RowsInMemory",
    "RunData",
    "Sampler",
    "TrainingBatches",
    "ValidationAugmentation",
    "evaluation_batches",
    "groups_of",
    "load_data",
    "load_with_outliers",
    "seed_hash",
    "split_groups",
    "split_indices",
    "validation_augmentation",
]
