"""Schedules of learning rate and dropout rate, and evaluation steps, fitted to a run's length."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import msgspec

from engine.protocol.effects import without_effect
from engine.protocol.spec import FIELDS, NO_TARGET, RunSpec
from engine.text import counted

STEP_DECAY: Final = 0.1

_MOST_ANNEALING: Final = 500


class LearningRates(NamedTuple):
    """The highest and the last learning rate of a run."""

    peak: float
    end: float


def learning_rate_factor(spec: RunSpec, step: int) -> float:
    """Return the multiplier of the peak learning rate at update ``step``, counted from 0."""
    if step < spec.warmup_steps:
        return (step + 1) / spec.warmup_steps
    if spec.schedule == "step":
        return STEP_DECAY ** sum(step >= drop for drop in spec.lr_drops)
    if spec.schedule == "cosine":
        progress = (step - spec.warmup_steps) / max(1, spec.steps - spec.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0


def learning_rates(spec: RunSpec) -> LearningRates:
    """Return the highest and the last learning rate that the run reaches."""
    last = spec.steps - 1
    # The rate never rises after the warm-up.
    highest = {min(max(spec.warmup_steps - 1, 0), last), min(spec.warmup_steps, last)}
    peak = max(learning_rate_factor(spec, step) for step in highest)
    return LearningRates(spec.lr * peak, spec.lr * learning_rate_factor(spec, last))


def dropout_rate_at(spec: RunSpec, step: int) -> float:
    """Return λ at update ``step``, counted from 0."""
    rising = rising_steps(spec)
    if step >= rising:
        return spec.dropout_rate
    start = spec.dropout_start
    return start + (spec.dropout_rate - start) * step / rising


def rising_steps(spec: RunSpec) -> int:
    """Return the number of first updates whose λ is below the run's; 0 if λ is constant."""
    if spec.dropout_schedule == "constant" or spec.dropout_start >= spec.dropout_rate:
        return 0
    return spec.steps // 2 if spec.dropout_steps is None else spec.dropout_steps


def annealing_steps(spec: RunSpec) -> int:
    """Return the number of first updates in which the penalty of ``vrex`` has weight 1."""
    given = spec.vrex_anneal_steps
    return usual_annealing_steps(spec.steps) if given is None else given


def usual_annealing_steps(steps: int) -> int:
    """Return :func:`annealing_steps` of a run of so many steps that does not set them."""
    return min(_MOST_ANNEALING, steps // 10)


def first_odd_step(spec: RunSpec) -> int:
    """Return the first step, counted from 1, in which the objective ``odd`` drops images."""
    return max(1, spec.steps // 2) if spec.odd_from is None else spec.odd_from


def is_evaluated(spec: RunSpec, step: int) -> bool:
    """Return whether a run is evaluated after ``step`` updates; always true for the last."""
    return step == spec.steps or step in _evaluated_before_the_last(spec)


def evaluations_after(spec: RunSpec, step: int) -> int:
    """Return how many evaluations follow after step ``step``.

    The evaluation before the first update, of a last layer trained alone, is not counted.
    """
    steps = _evaluated_before_the_last(spec)
    return len(steps) - bisect_right(steps, step) + (step < spec.steps)


def evaluation_steps(spec: RunSpec) -> tuple[int, ...]:
    """Return the steps at which a run is evaluated."""
    return (*_evaluated_before_the_last(spec), spec.steps)


def first_evaluation(spec: RunSpec, at_least: int = 1) -> int:
    """Return the step of the first evaluation at or after step ``at_least``, or the last step."""
    steps = _evaluated_before_the_last(spec)
    index = bisect_left(steps, at_least)
    return steps[index] if index < len(steps) else spec.steps


def _evaluated_before_the_last(spec: RunSpec) -> range:
    first = spec.eval_every if spec.eval_from is None else spec.eval_from
    return range(first, spec.steps, spec.eval_every)


def fit_schedule(spec: RunSpec, given: Collection[str], usual_steps: int) -> RunSpec:
    """Return the spec with the recipe's schedule scaled to a run shorter than the recipe's.

    Settings that fit and settings given by the user are unchanged. Scaled in proportion are: a
    warm-up longer than half of the run, learning rate drops after its end, and ``average_from`` and
    ``eval_from`` after its end.

    Args:
        spec: the recipe's and the user's values.
        given: fields set by the user.
        usual_steps: steps of the recipe.
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
    """Yield an error message for each given setting that the run cannot apply."""
    yield from without_effect(spec, given).values()
    run = f"the run has {counted(spec.steps, 'step')}"
    if "warmup_steps" in given:
        yield from _misfit_of_warmup(spec, run)
    if "lr_drops" in given and spec.schedule == "step":
        yield from _misfit_of_drops(spec, run)
    if "dropout_schedule" in given and spec.dropout_schedule == "linear":
        yield from _misfit_of_rising(spec, run)
    if "vrex_anneal_steps" in given and "vrex" in spec.objectives:
        yield from _misfit_of_annealing(spec, run)
    if "mask_basis_every" in given and (spec.mask_basis_every or 0) >= spec.steps:
        yield (
            f"mask_basis_every is {spec.mask_basis_every}, but {run}: the directions would not be "
            "updated. Lower --mask-basis-every, or drop it."
        )
    if "diagnose" in given and "shift" in spec.diagnose and spec.target == NO_TARGET:
        yield (
            "diagnose is 'shift', but target is 'none', so there is no shift to measure. Give "
            "--diagnose rich, or leave a domain out with --target."
        )
    if "averaged" in spec.arms:
        yield from _misfit_of_averaging(spec, given, run)
    for name in ("eval_every", "eval_from", "log_every", "odd_from"):
        value = getattr(spec, name)
        if name in given and value is not None and value > spec.steps:
            yield f"{name} is {value}, but {run}. Give {FIELDS[name].flag} {spec.steps} or less."


def _misfit_of_warmup(spec: RunSpec, run: str) -> Iterator[str]:
    warmup = spec.warmup_steps
    if warmup > spec.steps:
        peak = learning_rates(spec).peak
        yield (
            f"warmup_steps is {warmup}, but {run}: the learning rate would end at {peak:.2g} "
            f"instead of {spec.lr:g}. Give fewer --warmup-steps or more --steps."
        )
    elif warmup == spec.steps and spec.schedule != "constant":
        yield (
            f"warmup_steps is {warmup}, but {run}: the {spec.schedule} schedule would never "
            "begin. Give fewer --warmup-steps or more --steps."
        )


def _misfit_of_rising(spec: RunSpec, run: str) -> Iterator[str]:
    over = rising_steps(spec)
    if spec.dropout_start < spec.dropout_rate and not 0 < over < spec.steps:
        yield (
            f"dropout_steps is {over}, but {run}: the dropout rate would not rise to "
            f"{spec.dropout_rate:g}. Give fewer --dropout-steps or more --steps."
        )


def _misfit_of_averaging(spec: RunSpec, given: Collection[str], run: str) -> Iterator[str]:
    first, every = spec.average_from, spec.average_every
    name = next((name for name in ("average_every", "average_from") if name in given), None)
    if name is not None and first + every > spec.steps:
        yield (
            f"{name} is {getattr(spec, name)}, but {run}: only the weights of step {first} would "
            f"be averaged. Lower {FIELDS[name].flag}."
        )


def _misfit_of_annealing(spec: RunSpec, run: str) -> Iterator[str]:
    steps = spec.vrex_anneal_steps
    if steps is not None and steps >= spec.steps:
        yield (
            f"vrex_anneal_steps is {steps}, but {run}: the variance would have weight 1 "
            "throughout. Give fewer --vrex-anneal-steps or more --steps."
        )


def _misfit_of_drops(spec: RunSpec, run: str) -> Iterator[str]:
    if not all(0 < drop < spec.steps for drop in spec.lr_drops):
        yield (
            f"lr_drops is {','.join(map(str, spec.lr_drops))}, but {run}. Drops must be at steps "
            f"from 1 to {max(1, spec.steps - 1)}. Change --lr-drops or --steps."
        )
