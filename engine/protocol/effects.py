"""Which settings of a run have an effect in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from engine.protocol.fields import shown_value
from engine.protocol.spec import FIELDS, RunSpec, reads_views, unmet_condition

_OF_DROPOUT: Final = ("dropout_schedule", "masks", "mask_basis", "mask_at")

WITH_DROPOUT: Final = tuple(
    name
    for name, info in FIELDS.items()
    if name in _OF_DROPOUT or (info.only_with is not None and info.only_with[0] in _OF_DROPOUT)
)
"""Fields that have no effect in a run without dropout."""


def without_effect(spec: RunSpec, given: Collection[str]) -> dict[str, str]:
    """Return the given fields whose value has no effect in the run, with an error message each.

    A study may set such a field if it has an effect in other runs of the study.
    """
    found = {}
    for name in (name for name in FIELDS if name in given):
        value = getattr(spec, name)
        if value != FIELDS[name].default and (reason := _reason_against(spec, name)):
            found[name] = f"{name} is {_as_written(value)}, but {reason}"
    return found


def has_effect(spec: RunSpec, name: str) -> bool:
    """Return whether some value of a field has an effect in a run with these other values."""
    return _unmet(spec, name) is None


def _reason_against(spec: RunSpec, name: str) -> str | None:
    """Return why a field that is set has no effect in the run, and what to do."""
    return _unmet(spec, name) or _OF_VALUES.get(name, _nothing)(spec)


def _nothing(_spec: RunSpec) -> None:
    return None


def _unmet(spec: RunSpec, name: str) -> str | None:
    """Return why no value of a field has an effect in the run, and what to do."""
    drop = f"or drop {FIELDS[name].flag}."
    if unmet := unmet_condition(spec, name):
        other, wanted = unmet
        present = _as_written(getattr(spec, other))
        return f"{other} is {present}. Give {FIELDS[other].flag} {wanted}, {drop}"
    if name in WITH_DROPOUT and spec.dropout_rate == 0:
        return f"dropout_rate is 0. Give --dropout above 0, {drop}"
    return _REASONS.get(name, _nothing)(spec)


def _as_written(value: object) -> str:
    """Return a value as error messages show it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        shown = shown_value(value)
        return shown if shown[0].isdigit() else repr(shown)
    return shown_value(value) if isinstance(value, float) else repr(value)


def _without_outliers(spec: RunSpec) -> str | None:
    if spec.outliers is not None:
        return None
    return "the run has no outliers. Give --outliers DIR, or drop --outlier-batch."


def _full_tuning_only(spec: RunSpec, fact: str, flag: str) -> str | None:
    if spec.tuning != "linear":
        return None
    return f"tuning is 'linear', which {fact}. Drop {flag}, or give --tuning full."


def _of_frozen_network(spec: RunSpec) -> str | None:
    return _full_tuning_only(spec, "trains nothing of the network", "--no-freeze-batchnorm")


def _of_fixed_statistics(spec: RunSpec) -> str | None:
    return _full_tuning_only(spec, "keeps the statistics of the network", "--average-batchnorm")


def _of_zeros(spec: RunSpec) -> str | None:
    if spec.sparsity > 0:
        return (
            f"sparsity is {spec.sparsity:g}, which keeps all zeros as well. Drop --keep-zeros or "
            "--sparsity."
        )
    if spec.weights == "none":
        return (
            "weights is 'none': random weights have no zeros. Give --weights of a pruned network, "
            "or drop --keep-zeros."
        )
    return _full_tuning_only(spec, "trains nothing of the network", "--keep-zeros")


def _without_cached_features(spec: RunSpec) -> str | None:
    if reads_views(spec):
        return None
    return (
        f"tuning is {spec.tuning!r} and head_steps is 0, so nothing is trained on cached features. "
        "Give --tuning linear or --head-steps, or drop --views."
    )


def _of_low_rate(spec: RunSpec) -> str | None:
    start, rate = spec.dropout_start, spec.dropout_rate
    if start < rate:
        return None
    return (
        f"dropout_start is {start:g}, which must be below dropout_rate, {rate:g}. Change "
        "--dropout-start or --dropout, or drop --dropout-schedule."
    )


def _of_fixed_features(spec: RunSpec) -> str | None:
    if spec.tuning != "linear" or spec.linear_features != "penultimate":
        return None
    return (
        "linear_features is 'penultimate': these features never change, nor do their directions. "
        "Drop --mask-basis-every, or give --linear-features blocks."
    )


def _of_equal_weight(spec: RunSpec) -> str | None:
    if spec.vrex_weight != 1:
        return None
    return (
        "vrex_weight is 1, as in these first steps. Give another --vrex-weight, or drop "
        "--vrex-anneal-steps."
    )


def _without_weight_file(spec: RunSpec) -> str | None:
    if spec.weights_file is not None:
        return None
    return f"weights is {spec.weights!r}, not a file. Give --weights FILE, or drop --weights-key."


def _without_averages(spec: RunSpec) -> str | None:
    if {"averaged", "ensemble"}.intersection(spec.arms):
        return None
    return (
        f"arms is {_as_written(spec.arms)}. Give --arms averaged or ensemble, or drop "
        "--average-from."
    )


_REASONS: Final[Mapping[str, Callable[[RunSpec], str | None]]] = {
    "average_batchnorm": _of_fixed_statistics,
    "average_from": _without_averages,
    "freeze_batchnorm": _of_frozen_network,
    "keep_zeros": _of_zeros,
    "mask_basis_every": _of_fixed_features,
    "outlier_batch_size": _without_outliers,
    "views": _without_cached_features,
    "vrex_anneal_steps": _of_equal_weight,
    "weights_key": _without_weight_file,
}
"""Conditions of fields in addition to ``only_with`` and dropout: why a field has no effect, and
what to do; None if it has one."""

_OF_VALUES: Final[Mapping[str, Callable[[RunSpec], str | None]]] = {
    "dropout_schedule": _of_low_rate,
}
"""Reasons that a field which depends on this one can remove."""
