"""Combination runs: they train nothing but combine the networks of earlier runs, the parents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from engine.errors import UserError
from engine.protocol.fields import shown_value
from engine.protocol.spec import FIELDS, NO_TARGET, RunSpec, fields_with

METHODS: Final = {
    "soup": "average of the weights",
    "greedy_soup": "average of the weights; networks are added from the best on ID validation down "
    "and kept unless they lower it",
    "stock": "average of the weights, moved towards the pre-trained weights by the angle between "
    "the runs (Model Stock)",
    "ensemble": "average of the logits",
    "interpolation": "weights and representations on the line between two networks",
}
"""Combination methods; each is an arm of its own. See ``engine/combine/__init__.py``."""

PRETRAINED: Final = "pretrained"
"""Label of a parent that is the pre-trained network rather than a run."""

LastLayer = Literal["start_of_run", "linear_probe"]
"""The last layer of the pre-trained network in an interpolation.

``start_of_run``: the layer that the run's fine-tuning started from (WiSE-FT). ``linear_probe``: a
new layer trained on the data set's features.
"""

INTERPOLATION_STEPS: Final = 100
"""Steps of an interpolation run: percent of the way from the first network to the second."""

OWN_FIELDS: Final = fields_with("course")
"""Fields that a combination run sets itself; the others are copied from the first parent."""

SHARED_FIELDS: Final = fields_with("shared")
"""Fields that must be equal in all runs to combine."""

STOCK_FIELDS: Final = ("weights", "weights_key", "sparsity")
"""Fields that must be equal as well for Model Stock: they determine the pre-trained weights."""


class CombinationError(UserError, ValueError):
    """An invalid combination."""


class Parent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A network to combine: a run's checkpoint.

    ``file`` is absolute. None: the pre-trained network with the given ``last_layer``; ``run_id``
    is then empty. A missing last layer, as in older files, means a linear probe.
    """

    run_id: str
    file: str | None
    last_layer: LastLayer | None = None

    @property
    def label(self) -> str:
        """Return the run's id, or :data:`PRETRAINED`."""
        return PRETRAINED if self.file is None else self.run_id


class Combination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to combine, and how. ``points`` counts the interpolation coefficients from 0 to 1.

    Raises:
        CombinationError: if a network is given twice or the method does not accept these parents.
    """

    method: Literal["soup", "greedy_soup", "stock", "ensemble", "interpolation"]
    parents: Annotated[tuple[Parent, ...], Meta(min_length=2)]
    points: Annotated[int, Meta(ge=2, le=101)] = 11

    def __post_init__(self) -> None:
        runs = [parent.label for parent in self.parents]
        twice = next((label for label in runs if runs.count(label) > 1), None)
        if twice is not None:
            raise CombinationError(f"{twice} is given twice; each run can be combined only once.")
        if len(runs) < 2:
            raise CombinationError("Combining needs at least two runs.")
        if self.method == "interpolation" and len(runs) != 2:
            raise CombinationError(f"Interpolation needs exactly two runs, not {len(runs)}.")
        if PRETRAINED in runs and (self.method != "interpolation" or runs[0] != PRETRAINED):
            raise CombinationError(
                f"{PRETRAINED!r} is only valid as the first network of an interpolation."
            )
        if any(parent.file is not None and parent.last_layer for parent in self.parents):
            raise CombinationError(f"last_layer is only valid for {PRETRAINED!r}.")

    @property
    def starts_at(self) -> LastLayer | None:
        """Return the pre-trained parent's last layer; None if all parents are runs."""
        first = self.parents[0]
        return (first.last_layer or "linear_probe") if first.file is None else None

    @property
    def needs_pretrained(self) -> bool:
        """Return whether the pre-trained weights are combined as well."""
        return self.method == "stock" or self.starts_at is not None

    @property
    def steps(self) -> int:
        """Return the steps of the run: networks to combine, or percent of the interpolation."""
        return INTERPOLATION_STEPS if self.method == "interpolation" else len(self.parents)


class CombinationSpec(msgspec.Struct, frozen=True):
    """What a combination run does: combine networks, evaluated on the images of ``spec``.

    ``spec`` has the settings that describe the result as if it had been trained.
    """

    spec: RunSpec
    combination: Combination

    @classmethod
    def of(cls, first: RunSpec, combination: Combination) -> CombinationSpec:
        """Return the task of a combination run, based on the first parent's specification.

        It keeps the fields that determine the images and the network. Its seed determines the
        split only. :data:`OWN_FIELDS` have their defaults, except ``steps``.
        """
        own: dict[str, Any] = {name: FIELDS[name].default for name in OWN_FIELDS}
        own |= {"steps": combination.steps, "gpus": 1, "nodes": 1}
        return cls(msgspec.structs.replace(first, **own), combination)


RunTask = RunSpec | CombinationSpec
"""What a run does: train a network, or combine the networks of others."""


def spec_of(task: RunTask) -> RunSpec:
    """Return the specification in a task of either kind."""
    return task.spec if isinstance(task, CombinationSpec) else task


def task_of(spec: RunSpec, combination: Combination | None) -> RunTask:
    """Return the task of a run with these files; without a combination, it trains a network."""
    return spec if combination is None else CombinationSpec(spec, combination)


def check_alike(specs: Mapping[str, RunSpec], combination: Combination) -> None:
    """Check that networks can be combined in this way; ``specs`` are by run id.

    Raises:
        CombinationError: if not; names the runs, the field and its values.
    """
    (first, first_spec), *others = specs.items()
    fields = (*SHARED_FIELDS, *(STOCK_FIELDS if combination.method == "stock" else ()))
    for run_id, spec in others:
        for name in fields:
            value, expected = _shared(spec, name), _shared(first_spec, name)
            if value != expected:
                field = FIELDS[name].label
                reason = _REASONS.get(name, "their networks differ")
                raise CombinationError(
                    f"{field} is {shown_value(expected)} in run {first} but {shown_value(value)} "
                    f"in run {run_id}: {reason}."
                )
    if combination.needs_pretrained and first_spec.weights == "none":
        raise CombinationError(_starts_untrained(first, combination))
    if combination.method == "stock" and first_spec.tuning == "linear":
        raise CombinationError(
            f"tuning is 'linear' in run {first}, which changes no pre-trained weights. Average the "
            "runs instead: vld combine soup"
        )


def _starts_untrained(run_id: str, combination: Combination) -> str:
    """Return the error message for a run without the pre-trained weights that are needed."""
    instead = "Average the runs instead: vld combine soup"
    if combination.starts_at is not None:
        instead = f"Give a run instead of {PRETRAINED!r}."
    return f"Run {run_id} did not start from pre-trained weights. {instead}"


def is_combined(run_id: str) -> str:
    """Return the error message for a parent that is itself a combination."""
    return f"Run {run_id} is itself a combination. Give its parents instead."


def _shared(spec: RunSpec, name: str) -> object:
    """Return a field's value; a missing target is equal to no target."""
    value: object = getattr(spec, name)
    return NO_TARGET if name == "target" and value is None else value


_TRAINED_ON_TARGET: Final = "one was trained on the domain that the other left out"
_REASONS: Final = {
    "target": _TRAINED_ON_TARGET,
    "held_out_source": _TRAINED_ON_TARGET,
    "dataset": "their classes differ",
    "weights": "they started from different weights",
    "weights_key": "they started from different weights",
    "sparsity": "they started from different weights",
}


def splits_differ(specs: Mapping[str, RunSpec]) -> bool:
    """Return whether some of these runs were trained on images that others held out."""
    return len({(trial_seed(spec), spec.validation_fraction) for spec in specs.values()}) > 1


def trial_seed(spec: RunSpec) -> int:
    """Return the seed of the split."""
    return spec.seed if spec.trial_seed is None else spec.trial_seed


def own_arm(task: RunTask) -> str:
    """Return the arm of a run's own network."""
    if isinstance(task, CombinationSpec):
        return task.combination.method
    return "dropout" if task.dropout_rate > 0 else "erm"


def encode_combination(combination: Combination) -> bytes:
    """Return the combination as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(combination), indent=2) + b"\n"


def decode_combination(data: bytes | str) -> Combination:
    """Read a combination from JSON.

    Raises:
        CombinationError: if it is invalid.
    """
    try:
        return msgspec.json.decode(data, type=Combination)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CombinationError(f"Invalid combination: {error}.") from None
