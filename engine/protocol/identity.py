"""When two runs are the same: a short hash of all that decides their result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from engine.protocol.combination import Combination
from engine.protocol.schedule import first_evaluation
from engine.protocol.spec import FIELDS, NO_TARGET, RunSpec, applies, fields_with

SEEDS: Final = tuple(sorted(fields_with("seed")))
"""Fields in which runs of one configuration differ: the run's seed, then that of the split."""

MEASURED_ON: Final = fields_with("measured_on")
"""Fields that decide which images ID accuracy is of: values of it cannot be compared."""

UNDECIDING: Final = frozenset(fields_with("not_result"))
"""Fields that decide where and how a run is computed and recorded, not its result."""


def _always(_spec: RunSpec) -> bool:
    return True


def _averages(spec: RunSpec) -> bool:
    return "averaged" in spec.arms


def _ensembles_late(spec: RunSpec) -> bool:
    """Say whether the ensemble leaves out evaluations that it would otherwise take."""
    begins = first_evaluation(spec, spec.average_from)
    return "ensemble" in spec.arms and begins > first_evaluation(spec)


DECIDING_ONLY: Final[Mapping[str, Callable[[RunSpec], bool]]] = {
    "average_from": lambda spec: _averages(spec) or _ensembles_late(spec),
    # Statistics estimated anew are means over batches; all else is the same in any batch.
    "eval_batch_size": lambda spec: _averages(spec) and spec.average_batchnorm == "reestimate",
    "weights_key": lambda spec: spec.weights_file is not None,
}
"""Fields that decide the result only of runs for which this is true, in addition to what
``only_with`` of a field declares."""


def run_identity(spec: RunSpec, combination: Combination | None = None) -> str:
    """Return a hash, 16 hexadecimal digits, equal for runs that must give the same result.

    A field at its default counts as not there, so that one added later changes no old run's;
    so does one that decides nothing of this run.
    """
    return _hash(spec, combination, UNDECIDING)


def configuration_identity(spec: RunSpec, combination: Combination | None = None) -> str:
    """Return a hash, 16 hexadecimal digits, equal for runs that differ but in their seeds."""
    return _hash(spec, combination, UNDECIDING.union(SEEDS))


def deciding_differences(one: RunSpec, other: RunSpec) -> tuple[str, ...]:
    """Return the fields that make two runs differ in their results."""
    return tuple(
        name
        for name in FIELDS
        if name not in UNDECIDING and _deciding(one, name) != _deciding(other, name)
    )


def _hash(spec: RunSpec, combination: Combination | None, left_out: Iterable[str]) -> str:
    decided = {
        name: value
        for name, info in FIELDS.items()
        if name not in left_out and (value := _deciding(spec, name)) != info.default
    }
    text = msgspec.json.encode((decided, _as_first_told(combination)), order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]


def _as_first_told(combination: Combination | None) -> Combination | None:
    """Return a combination as earlier versions wrote it, which named no linear probe."""
    if combination is None or combination.starts_at != "linear_probe":
        return combination
    first, *others = combination.parents
    parents = (msgspec.structs.replace(first, last_layer=None), *others)
    return msgspec.structs.replace(combination, parents=parents)


def _deciding(spec: RunSpec, name: str) -> object:
    """Return a field's value as it decides the result, one for all that come to the same."""
    if not applies(spec, name) or not DECIDING_ONLY.get(name, _always)(spec):
        return FIELDS[name].default
    if name == "arms":  # each is measured by itself
        return tuple(sorted(set(spec.arms)))
    need_not_be_said = {
        "target": NO_TARGET,  # images of one domain
        "trial_seed": spec.seed,
        "eval_from": spec.eval_every,
    }
    if name in need_not_be_said and getattr(spec, name) == need_not_be_said[name]:
        return None
    if name == "average_from" and not _averages(spec):  # the ensemble takes evaluations alone
        return first_evaluation(spec, spec.average_from)
    return getattr(spec, name)
