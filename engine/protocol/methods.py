"""Objectives and arms by name.

To add one, add a module in ``engine/objectives`` or ``engine/arms``, a line in the registry there,
and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

JOINED_BY: Final = "+"
"""Separates names that are used together: of networks, or of objectives."""

Kind = Literal["loss", "weights", "penalty"]
"""What an objective sets: the loss of each image, the weights of images, or a term that is added.
A run has one loss at most; weights of several objectives are multiplied, penalties are added."""


class ObjectiveInfo(NamedTuple):
    """What the interfaces need to know of an objective.

    Attributes:
        help: what it minimises.
        kind: what it sets.
        fewest_sources: minimum number of source domains.
        fewest_images: minimum number of images of each source in a batch.
        trains_features: it acts on the features only, which must not be fixed.
        excludes: objectives that have no meaning together with it, and why.
        needs: optional fields of a run that it cannot do without.
    """

    help: str
    kind: Kind
    fewest_sources: int = 1
    fewest_images: int = 1
    trains_features: bool = False
    excludes: Mapping[str, str] = MappingProxyType({})
    needs: tuple[str, ...] = ()


OBJECTIVES: Final = {
    "erm": ObjectiveInfo("mean loss over all images", "loss"),
    "odd": ObjectiveInfo(
        "mean loss without images whose loss is like that of a random label", "weights"
    ),
    "groupdro": ObjectiveInfo(
        "weighted mean of the source domains' losses; weights grow for the worst",
        "weights",
        fewest_sources=2,
    ),
    "confreg": ObjectiveInfo(
        "cross-entropy against a teacher's probabilities, flattened where a biased model is right",
        "loss",
        needs=("teacher",),
    ),
    "rpdro": ObjectiveInfo(
        "weighted mean of the images' losses; an adversary learns the weights", "weights"
    ),
    "coral": ObjectiveInfo(
        "adds the differences between the sources' feature means and covariances",
        "penalty",
        fewest_sources=2,
        fewest_images=2,
        trains_features=True,
    ),
    "vrex": ObjectiveInfo(
        "adds the variance of the source domains' losses", "penalty", fewest_sources=2
    ),
    "mixup": ObjectiveInfo(
        "mean loss of images mixed in pairs, against both labels",
        "loss",
        fewest_images=2,
        excludes=dict.fromkeys(("odd", "rpdro"), "a mixed image has two labels"),
    ),
}
"""Training losses to minimise. Weights are applied in this order."""

ARMS: Final = {
    "averaged": "average of the weights over the run",
    "swad": "average of the weights over the valley of the ID validation loss (SWAD)",
    "ensemble": "average of the logits of all evaluations so far",
    "refined": "selected step's network with its last layer trained further on hard or rare images",
}
"""Additional predictors that can be evaluated during a run."""

NETWORK_ARMS: Final = frozenset({"averaged", "swad", "refined"})
"""Arms that are a single network, with checkpoints like the run's own network."""

FINAL_ARMS: Final = frozenset({"swad", "refined"})
"""Arms that are evaluated once, after the last step."""
