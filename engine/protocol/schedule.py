"""The learning rate and the evaluations over a run, and settings of a longer or shorter run."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import msgspec

from engine.protocol.spec import FIELDS, RunSpec, applies

STEP_DECAY: Final = 0.1

_OF_OTHERS: Final = tuple(
    name
    for name, info in FIELDS.items()
    if info.only_with is not None and info.only_with[0] in ("objective", "tuning")
)
"""Fields that are refused where they have no effect; those of an arm may be set in advance."""


class LearningRates(NamedTuple):
    """The highest learning rate of a run, and that of its last step."""

    peak: float
    end: float


def learning_rate_factor(spec: RunSpec, step: int) -> float:
    """Return what multiplies every peak rate at update ``step``, counted from 0."""
    if step < spec.warmup_steps:
        return (step + 1) / spec.warmup_steps
    if spec.schedule == "step":
        return STEP_DECAY ** sum(step >= drop for drop in spec.lr_drops)
    if spec.schedule == "cosine":
        progress = (step - spec.warmup_steps) / max(1, spec.steps - spec.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0


def learning_rates(spec: RunSpec) -> LearningRates:
    """Return the highest and the last rate that the run really has."""
    last = spec.steps - 1
    # It rises to the end of the warm-up and never after it.
    highest = {min(max(spec.warmup_steps - 1, 0), last), min(spec.warmup_steps, last)}
    peak = max(learning_rate_factor(spec, step) for step in highest)
    return LearningRates(spec.lr * peak, spec.lr * learning_rate_factor(spec, last))


def is_evaluated(spec: RunSpec, step: int) -> bool:
    """Return whether a run is evaluated after ``step`` updates; it always is after the last."""
    return step == spec.steps or step in _evaluated_before_the_last(spec)


def evaluations_after(spec: RunSpec, step: int) -> int:
    """Return how many evaluations are left after ``step`` updates and the evaluation there.

    An evaluation before the first update, that of a last layer trained alone, is not counted.
    """
    steps = _evaluated_before_the_last(spec)
    return len(steps) - bisect_right(steps, step) + (step < spec.steps)


def evaluation_steps(spec: RunSpec) -> tuple[int, ...]:
    """Return the numbers of updates after which a run is evaluated."""
    return (*_evaluated_before_the_last(spec), spec.steps)


def first_evaluation(spec: RunSpec, at_least: int = 1) -> int:
    """Return the number of updates at a run's first evaluation from ``at_least`` updates on.

    Where the run ends before, it is that of the last evaluation.
    """
    steps = _evaluated_before_the_last(spec)
    index = bisect_left(steps, at_least)
    return steps[index] if index < len(steps) else spec.steps


def _evaluated_before_the_last(spec: RunSpec) -> range:
    first = spec.eval_every if spec.eval_from is None else spec.eval_from
    return range(first, spec.steps, spec.eval_every)


def fit_schedule(spec: RunSpec, given: Collection[str], usual_steps: int) -> RunSpec:
    """Return the spec with a recipe's schedule fitted to a run shorter than the recipe's own.

    What fits stays as it is, and so does what the user set. What does not is shortened in
    proportion: a warm-up of more than half of the run, drops of the rate of which one is after its
    end, and averaging or evaluating from a later step on.

    Args:
        spec: the recipe's values and the user's.
        given: the fields that the user set.
        usual_steps: steps of a run of the recipe.
    """
    fitted: dict[str, object] = {}
    if "warmup_steps" not in given and 2 * spec.warmup_steps > spec.steps:
        fitted["warmup_steps"] = spec.warmup_steps * spec.steps // usual_steps
    if "lr_drops" not in given and spec.schedule == "step" and max(spec.lr_drops) >= spec.steps:
        drops = (round(drop * spec.steps / usual_steps) for drop in spec.lr_drops)
        last = max(1, spec.steps - 1)
        fitted["lr_drops"] = tuple(dict.fromkeys(min(max(1, drop), last) for drop in drops))
    for name in ("average_from", "eval_from"):
        first = getattr(spec, name)
        if name not in given and first is not None and first > spec.steps:
            fitted[name] = max(1, first * spec.steps // usual_steps)
    return msgspec.structs.replace(spec, **fitted) if fitted else spec


def misfits(spec: RunSpec, given: Collection[str]) -> Iterator[str]:
    """Yield why settings that the user gave cannot be honoured in a run of so many steps."""
    run = f"the run has {spec.steps:,} step{'s' if spec.steps != 1 else ''}"
    if "warmup_steps" in given:
        yield from _misfit_of_warmup(spec, run)
    if "lr_drops" in given and spec.lr_drops:
        yield from _misfit_of_drops(spec, run)
    yield from _without_effect(spec, given)
    if "averaged" in spec.arms and "average_every" in given and spec.average_every > spec.steps:
        yield (
            f"average_every is {spec.average_every}, but {run}: the weights of one step alone "
            "would be averaged. Give a lower --average-every."
        )
    for name in ("eval_every", "eval_from", "log_every"):
        value, flag = getattr(spec, name), "--" + name.replace("_", "-")
        if name in given and value is not None and value > spec.steps:
            yield f"{name} is {value}, but {run}: give {flag} {spec.steps} or less."


def _without_effect(spec: RunSpec, given: Collection[str]) -> Iterator[str]:
    """Yield why fields of another objective or kind of tuning have no effect."""
    for name in _OF_OTHERS:
        info, value = FIELDS[name], getattr(spec, name)
        if name in given and value != info.default and not applies(spec, name):
            other, wanted = info.only_with or ("", "")
            yield (
                f"{name} is {value!r}, but {other} is {getattr(spec, other)!r}, where it has no "
                f"effect. Give {FIELDS[other].flag} {wanted}, or leave out {info.flag}."
            )


def _misfit_of_warmup(spec: RunSpec, run: str) -> Iterator[str]:
    warmup = spec.warmup_steps
    if warmup > spec.steps:
        peak = learning_rates(spec).peak
        yield (
            f"warmup_steps is {warmup}, but {run}: the learning rate would end at {peak:.2g} "
            f"instead of {spec.lr:g}. Give fewer --warmup-steps, or more --steps."
        )
    elif warmup == spec.steps and spec.schedule != "constant":
        yield (
            f"warmup_steps is {warmup}, but {run}: the {spec.schedule} schedule would never "
            "begin. Give fewer --warmup-steps, or more --steps."
        )


def _misfit_of_drops(spec: RunSpec, run: str) -> Iterator[str]:
    shown = ",".join(map(str, spec.lr_drops))
    if spec.schedule != "step":
        yield (
            f"lr_drops is {shown}, but schedule is {spec.schedule!r}, which has no drops: give "
            "--schedule step, or leave out --lr-drops."
        )
    elif not all(0 < drop < spec.steps for drop in spec.lr_drops):
        yield (
            f"lr_drops is {shown}, but {run}: a drop must be at a step from 1 to "
            f"{max(1, spec.steps - 1)}. Change --lr-drops or --steps."
        )
