"""When two runs are the same: a short hash of all that decides their result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from engine.protocol.combination import Combination
from engine.protocol.spec import FIELDS, RunSpec

SEEDS: Final = ("seed", "trial_seed")
"""Fields in which runs of one configuration differ."""

UNDECIDING: Final = frozenset(
    {"device", "threads", "memory_format", "eval_batch_size", "log_every", "keep_checkpoints",
     "recipe"}
)  # fmt: skip
"""Fields that say where and how a run is computed or told, not what comes out of it."""


def run_identity(spec: RunSpec, combination: Combination | None = None) -> str:
    """Return a hash, 16 hexadecimal digits, equal for runs that must give the same result.

    A field at its default counts as not there, so that one added later changes no old run's.
    """
    return _hash(spec, combination, UNDECIDING)


def configuration_identity(spec: RunSpec, combination: Combination | None = None) -> str:
    """Return a hash, 16 hexadecimal digits, equal for runs that differ but in their seeds."""
    return _hash(spec, combination, UNDECIDING.union(SEEDS))


def _hash(spec: RunSpec, combination: Combination | None, left_out: Iterable[str]) -> str:
    decided = {
        name: value
        for name, info in FIELDS.items()
        if name not in left_out and (value := getattr(spec, name)) != info.default
    }
    text = msgspec.json.encode((decided, combination), order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]
