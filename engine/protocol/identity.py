"""Run identity: a short hash of everything that determines a run's result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from engine.protocol.combination import Combination, CombinationSpec, RunTask, spec_of
from engine.protocol.schedule import first_evaluation, rising_steps, usual_annealing_steps
from engine.protocol.spec import FIELDS, NO_TARGET, RunSpec, applies, fields_with, reads_views

SEEDS: Final = tuple(sorted(fields_with("seed")))
"""Fields in which runs of one configuration differ: the run's seed, then the split's."""

MEASURED_ON: Final = fields_with("measured_on")
"""Fields that change which images ID accuracy is measured on, so that it is not comparable."""

NOT_RESULT: Final = frozenset(fields_with("not_result"))
"""Fields that affect where and how a run is computed and recorded, but not its result."""


def _always(_spec: RunSpec) -> bool:
    return True


def _averages(spec: RunSpec) -> bool:
    return "averaged" in spec.arms


def _dropout_rises(spec: RunSpec) -> bool:
    return rising_steps(spec) > 0


def _has_masks(spec: RunSpec) -> bool:
    return spec.dropout_rate > 0


def _ensembles_late(spec: RunSpec) -> bool:
    """Return whether ``average_from`` makes the ensemble skip evaluations."""
    begins = first_evaluation(spec, spec.average_from)
    return "ensemble" in spec.arms and begins > first_evaluation(spec)


CONDITIONAL: Final[Mapping[str, Callable[[RunSpec], bool]]] = {
    "average_from": lambda spec: _averages(spec) or _ensembles_late(spec),
    "dropout_schedule": _dropout_rises,
    "dropout_start": _dropout_rises,
    "dropout_steps": _dropout_rises,
    # Re-estimated statistics are means over batches; nothing else depends on the batch size.
    "eval_batch_size": lambda spec: (
        (_averages(spec) and spec.average_batchnorm == "reestimate")
        or ("swad" in spec.arms and not spec.freeze_batchnorm)
    ),
    "mask_at": _has_masks,
    "mask_basis": _has_masks,
    "mask_basis_every": _has_masks,
    "outlier_batch_size": lambda spec: spec.outliers is not None,
    "views": reads_views,
    "vrex_anneal_steps": lambda spec: spec.vrex_weight != 1,
    "weights_key": lambda spec: spec.weights_file is not None,
}
"""Fields that affect the result only under a condition, in addition to ``only_with``."""


def run_identity(task: RunTask) -> str:
    """Return a hash (16 hexadecimal digits) that is equal for runs with the same result.

    Fields at their default are omitted, so that a new field does not change older identities, and
    so are fields without effect on this run.
    """
    return _hash(task, NOT_RESULT)


def configuration_identity(task: RunTask) -> str:
    """Return a hash (16 hexadecimal digits) that is equal for runs that differ only in seeds."""
    return _hash(task, NOT_RESULT.union(SEEDS))


def result_differences(one: RunSpec, other: RunSpec) -> tuple[str, ...]:
    """Return the fields in which two runs differ and that affect their results."""
    return tuple(
        name
        for name in FIELDS
        if name not in NOT_RESULT and _effective_value(one, name) != _effective_value(other, name)
    )


def _hash(task: RunTask, left_out: Iterable[str]) -> str:
    spec = spec_of(task)
    decided = {
        name: value
        for name, info in FIELDS.items()
        if name not in left_out and (value := _effective_value(spec, name)) != info.default
    }
    combination = _earliest_form(task.combination) if isinstance(task, CombinationSpec) else None
    text = msgspec.json.encode((decided, combination), order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]


def _earliest_form(combination: Combination) -> Combination:
    """Return a combination as older versions wrote it, without naming a linear probe."""
    if combination.starts_at != "linear_probe":
        return combination
    first, *others = combination.parents
    parents = (msgspec.structs.replace(first, last_layer=None), *others)
    return msgspec.structs.replace(combination, parents=parents)


def _effective_value(spec: RunSpec, name: str) -> object:
    """Return a field's canonical value: equal for all values with the same effect."""
    if not applies(spec, name) or not CONDITIONAL.get(name, _always)(spec):
        return FIELDS[name].default
    if name == "arms":  # arms are measured independently
        return tuple(sorted(set(spec.arms)))
    same_as_none = {
        "target": NO_TARGET,  # images of one domain
        "trial_seed": spec.seed,
        "dropout_steps": spec.steps // 2,
        "outlier_batch_size": spec.batch_size,
        "vrex_anneal_steps": usual_annealing_steps(spec.steps),
        "eval_from": spec.eval_every,
        "odd_from": max(1, spec.steps // 2),
    }
    if name in same_as_none and getattr(spec, name) == same_as_none[name]:
        return None
    if name == "average_from" and not _averages(spec):  # the ensemble uses evaluated steps only
        return first_evaluation(spec, spec.average_from)
    return getattr(spec, name)
