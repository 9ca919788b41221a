"""What cached features cost the runs that read them: disk space and time, once for all runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.protocol import FINAL_ARMS, NETWORK_ARMS, RunSpec, evaluations_after, reads_views
from engine.protocol.feature_costs import FeatureCost, FeatureCosts

FeatureKey = tuple[Any, ...]
_SHARED_BY: Final = (
    "dataset", "data_dir", "layout", "exclude", "image_size", "model", "weights", "weights_key",
    "device",
)  # fmt: skip
"""Fields in which runs that share features agree."""


def feature_key(spec: RunSpec) -> FeatureKey | None:
    """Return what runs that share features have in common; None: the run reads no features."""
    if spec.views is None or not reads_views(spec):
        return None
    shared = tuple(getattr(spec, name) for name in _SHARED_BY)
    seed = spec.seed if spec.weights == "none" else None  # each seed has its own random network
    if spec.tuning == "full" or spec.linear_features == "penultimate":
        return (*shared, spec.transforms, seed, "penultimate")
    return (*shared, spec.transforms, seed, spec.linear_start)


@dataclass(frozen=True)
class FeaturesCost:
    """The cost of all features that some runs read.

    Attributes:
        passes: images and views whose features are not cached yet.
        total_bytes: size of all features.
        missing_bytes: size of those that are not cached yet.
        wall_s: seconds to compute them; None: not measured.
        room_bytes: what the disk can take.
        limit_bytes: what the cache may use of it before unused entries are removed.
        problems: why networks have no such features.
        unknown: data sets with an unknown number of images, which are not counted.
        costs: of each distinct data set and network.
    """

    passes: int
    total_bytes: int
    missing_bytes: int
    wall_s: float | None
    room_bytes: int
    limit_bytes: int
    problems: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    costs: Mapping[FeatureKey, FeatureCost] = field(default_factory=dict)

    @classmethod
    def of(
        cls, images: Mapping[FeatureKey, int], answer: FeatureCosts, unknown: Sequence[str]
    ) -> FeaturesCost:
        """Return the sums over an answer; ``images``: of the data set of each key, in order."""
        costs = dict(zip(images, answer.costs, strict=True))
        passes = {key: images[key] * cost.missing for key, cost in costs.items()}
        seconds = [
            None if cost.timing is None else passes[key] * cost.timing.image_s
            for key, cost in costs.items()
            if cost.missing
        ]
        known = [each for each in seconds if each is not None]
        return cls(
            passes=sum(passes.values()),
            total_bytes=sum(cost.arrays * cost.array_bytes for cost in answer.costs),
            missing_bytes=sum(cost.missing * cost.array_bytes for cost in answer.costs),
            wall_s=sum(known) if len(known) == len(seconds) else None,
            room_bytes=answer.room_bytes,
            limit_bytes=answer.limit_bytes,
            problems=tuple(dict.fromkeys(cost.problem for cost in answer.costs if cost.problem)),
            unknown=tuple(unknown),
            costs=costs,
        )

    @property
    def fits(self) -> bool:
        """Return whether the disk has room for the features that are not cached yet."""
        return self.missing_bytes <= self.room_bytes

    def run_s(self, spec: RunSpec) -> float | None:
        """Return the measured seconds of a linear run once its features are cached, or None."""
        key = feature_key(spec)
        cost = None if key is None else self.costs.get(key)
        if cost is None or cost.timing is None or spec.tuning != "linear":
            return None
        arms = NETWORK_ARMS.intersection(spec.arms)
        final = len(arms & FINAL_ARMS)
        networks = 1 + len(arms) - final
        evaluations = evaluations_after(spec, 0) * networks + (spec.head_steps > 0) + final
        refining = spec.refine_steps if "refined" in spec.arms else 0
        timing = cost.timing
        return (
            timing.start_s
            + (spec.steps + spec.head_steps + refining) * timing.step_s
            + evaluations * timing.evaluation_s
        )

    def as_record(self) -> dict[str, Any]:
        """Return the sums for scripts."""
        return {
            "images_and_views": self.passes,
            "seconds": self.wall_s,
            "total_bytes": self.total_bytes,
            "missing_bytes": self.missing_bytes,
            "room_bytes": self.room_bytes,
            "limit_bytes": self.limit_bytes,
            "fits": self.fits,
            "problems": self.problems,
            "unknown_datasets": self.unknown,
        }
