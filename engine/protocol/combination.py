"""A run that trains nothing: it combines the networks of earlier runs, its parents."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from engine.protocol.spec import RunSpec

METHODS: Final = {
    "soup": "the mean of the weights",
    "greedy_soup": "the mean of the weights of those that raise ID accuracy, tried best first",
    "ensemble": "the mean of the logits",
    "interpolation": "weights, and representations, on the way from one to the other",
}
"""Ways to combine networks; each is an arm of its own in tables and in the plane."""


class CombinationError(ValueError):
    """A ``combination.json`` that is not one."""


class Parent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network to combine: a run's checkpoint.

    ``file`` is absolute; None: the pre-trained network, its last layer trained alone on the
    data set's features. ``run_id`` is then empty.
    """

    run_id: str
    file: str | None


class Combination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to combine, and how. ``points`` are the shares tried from 0 to 1, ends included."""

    method: Literal["soup", "greedy_soup", "ensemble", "interpolation"]
    parents: Annotated[tuple[Parent, ...], Meta(min_length=2)]
    points: Annotated[int, Meta(ge=2, le=1001)] = 11


def own_arm(spec: RunSpec, combination: Combination | None = None) -> str:
    """Return how a run's own network predicts, as metrics and tables name it."""
    if combination is not None:
        return combination.method
    return "dropout" if spec.dropout_rate > 0 else "erm"


def encode_combination(combination: Combination) -> bytes:
    """Return the combination as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(combination), indent=2) + b"\n"


def decode_combination(data: bytes | str) -> Combination:
    """Read a combination from JSON.

    Raises:
        CombinationError: when it is not one.
    """
    try:
        return msgspec.json.decode(data, type=Combination)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CombinationError(f"Not a combination: {error}.") from None
