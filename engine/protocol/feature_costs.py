"""What cached features cost before they are computed: a question to the engine, and its answer."""

from __future__ import annotations

import msgspec

from engine.protocol.spec import RunSpec


class FeatureSource(msgspec.Struct, frozen=True):
    """Images and a frozen network, whose features runs share.

    Attributes:
        spec: a run with the most views.
        domains: of its data set.
        images: of all domains.
    """

    spec: RunSpec
    domains: int
    images: int


class FeatureQuestion(msgspec.Struct, frozen=True):
    """Ask for the cost of features. Response: :class:`FeatureCosts`.

    Attributes:
        cache_dir: folder of caches.
        sources: of the features.
        times_steps: time training steps even if all features are cached.
    """

    cache_dir: str
    sources: tuple[FeatureSource, ...]
    times_steps: bool = False


class FeatureTiming(msgspec.Struct, frozen=True):
    """Seconds that were measured on this machine.

    Attributes:
        image_s: to compute the features of an image.
        start_s: to prepare a run whose features are cached.
        step_s: of a training step on features.
        evaluation_s: of an evaluation of all domains.
    """

    image_s: float
    start_s: float
    step_s: float
    evaluation_s: float


class FeatureCost(msgspec.Struct, frozen=True):
    """The cost of one source of features.

    Attributes:
        problem: why there are no such features; the other fields are then 0.
        array_bytes: size of the features of all images, without augmentation or of one view.
        arrays: V + 1.
        missing: how many of them are not cached.
        timing: None: not measured.
    """

    problem: str | None = None
    array_bytes: int = 0
    arrays: int = 0
    missing: int = 0
    timing: FeatureTiming | None = None


class FeatureCosts(msgspec.Struct, frozen=True):
    """Costs in the order of the sources.

    Attributes:
        costs: of each source.
        room_bytes: what the disk can take: free space, and cached entries that may be removed.
        limit_bytes: what the cache may use before unused entries are removed.
    """

    costs: tuple[FeatureCost, ...]
    room_bytes: int
    limit_bytes: int
