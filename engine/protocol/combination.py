"""A run that trains nothing: it combines the networks of earlier runs, its parents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from engine.errors import UserError
from engine.protocol.spec import FIELDS, NO_TARGET, RunSpec, fields_with

METHODS: Final = {
    "soup": "the mean of the weights",
    "greedy_soup": "the mean of weights; best first, each one kept if ID accuracy does not fall",
    "ensemble": "the mean of the logits",
    "interpolation": "weights, and representations, between two networks",
}
"""Ways to combine networks; each is an arm of its own in tables and in the plane.

``engine/combine/combining.py`` says which function does the work.
"""

PRETRAINED: Final = "pretrained"
"""What the parent that no run fine-tuned is called."""

LastLayer = Literal["start_of_run", "linear_probe"]
"""The last layer of the pre-trained network that is interpolated from.

``start_of_run``: the one that the run's fine-tuning started with, trained before; then the
interpolation is WiSE-FT. ``linear_probe``: a new one, trained alone on the data set's features.
"""

INTERPOLATION_STEPS: Final = 100
"""In an interpolation, a step is a percent of the way from the first network to the second."""

OWN_FIELDS: Final = fields_with("course")
"""Fields that say nothing about the networks of a combination; its others are the first run's."""

SHARED_FIELDS: Final = fields_with("shared")
"""Fields in which runs must agree to be combined."""


class CombinationError(UserError, ValueError):
    """A ``combination.json`` that is not one."""


class Parent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A network to combine: a run's checkpoint.

    ``file`` is absolute; None: the pre-trained network, with the last layer that ``last_layer``
    names. ``run_id`` is then empty. Earlier versions name no last layer: it was a linear probe.
    """

    run_id: str
    file: str | None
    last_layer: LastLayer | None = None

    @property
    def label(self) -> str:
        """Return the run's id, or what the pre-trained network is called."""
        return PRETRAINED if self.file is None else self.run_id


class Combination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to combine, and how. ``points`` are the shares tried from 0 to 1, ends included.

    Raises:
        CombinationError: when a network is named twice, or the method cannot take these.
    """

    method: Literal["soup", "greedy_soup", "ensemble", "interpolation"]
    parents: Annotated[tuple[Parent, ...], Meta(min_length=2)]
    points: Annotated[int, Meta(ge=2, le=101)] = 11

    def __post_init__(self) -> None:
        runs = [parent.label for parent in self.parents]
        twice = next((label for label in runs if runs.count(label) > 1), None)
        if twice is not None:
            raise CombinationError(f"{twice} is named twice: combine different runs.")
        if len(runs) < 2:
            raise CombinationError("To combine takes two runs at least.")
        if self.method == "interpolation" and len(runs) != 2:
            raise CombinationError(f"To interpolate takes two runs; there are {len(runs)}.")
        if PRETRAINED in runs and (self.method != "interpolation" or runs[0] != PRETRAINED):
            raise CombinationError(f"Only an interpolation can start from {PRETRAINED!r}.")
        if any(parent.file is not None and parent.last_layer for parent in self.parents):
            raise CombinationError("Only the pre-trained network has a last_layer to name.")

    @property
    def starts_at(self) -> LastLayer | None:
        """Return which pre-trained network is interpolated from; None: all parents are runs."""
        first = self.parents[0]
        return (first.last_layer or "linear_probe") if first.file is None else None

    @property
    def steps(self) -> int:
        """Return the steps of the run: networks to combine, or percents of the way."""
        return INTERPOLATION_STEPS if self.method == "interpolation" else len(self.parents)


def derived_spec(first: RunSpec, combination: Combination) -> RunSpec:
    """Return the specification of a run that combines, made of that of the first run combined.

    It keeps what decides the images and the network. The seed is that of the split.
    """
    return msgspec.structs.replace(
        first,
        steps=combination.steps,
        head_steps=0,
        warmup_steps=0,
        lr_drops=(),
        arms=(),
        gpus=1,
        nodes=1,
    )


def check_alike(specs: Mapping[str, RunSpec]) -> None:
    """Refuse runs whose networks cannot be combined; ``specs`` are those of each run, by id.

    Raises:
        CombinationError: naming the runs, the field, and its values.
    """
    (first, first_spec), *others = specs.items()
    for run_id, spec in others:
        for name in SHARED_FIELDS:
            value, expected = _shared(spec, name), _shared(first_spec, name)
            if value != expected:
                field = FIELDS[name].label
                reason = _REASONS.get(name, "their networks differ")
                raise CombinationError(
                    f"{field} is {expected} in run {first} but {value} in run {run_id}: {reason}."
                )


def _shared(spec: RunSpec, name: str) -> object:
    """Return a field's value; images of one domain need no word that none is left out."""
    value: object = getattr(spec, name)
    return NO_TARGET if name == "target" and value is None else value


_REASONS: Final = {
    "target": "what one was never trained on, the other was",
    "held_out_source": "what one was never trained on, the other was",
    "dataset": "they learned other classes",
}


def splits_differ(specs: Mapping[str, RunSpec]) -> bool:
    """Say whether some of these runs were trained on images that others held out."""
    return len({(trial_seed(spec), spec.validation_fraction) for spec in specs.values()}) > 1


def trial_seed(spec: RunSpec) -> int:
    """Return the seed of the split."""
    return spec.seed if spec.trial_seed is None else spec.trial_seed


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
