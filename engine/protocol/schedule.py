"""The learning rate over a run, and settings that belong to a longer or shorter run."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import msgspec

from engine.protocol.spec import RunSpec

STEP_DECAY: Final = 0.1


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


def fit_schedule(spec: RunSpec, given: Collection[str], usual_steps: int) -> RunSpec:
    """Return the spec with a recipe's schedule fitted to a run shorter than the recipe's own.

    What fits stays as it is, and so does what the user set. What does not is shortened in
    proportion: a warm-up of more than half of the run, drops of the rate after its end, and the
    averaging of weights from a later step on.

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
        fitted["lr_drops"] = tuple(dict.fromkeys(max(1, drop) for drop in drops))
    if "average_from" not in given and spec.average_from > spec.steps:
        fitted["average_from"] = max(1, spec.average_from * spec.steps // usual_steps)
    return msgspec.structs.replace(spec, **fitted) if fitted else spec


def misfits(spec: RunSpec, given: Collection[str]) -> Iterator[str]:
    """Yield why settings that the user gave cannot be honoured in a run of so many steps."""
    run = f"the run has {spec.steps:,} step{'s' if spec.steps != 1 else ''}"
    if "warmup_steps" in given:
        yield from _misfit_of_warmup(spec, run)
    if "lr_drops" in given and spec.lr_drops:
        yield from _misfit_of_drops(spec, run)
    if "averaged" in spec.arms and "average_every" in given and spec.average_every > spec.steps:
        yield (
            f"average_every is {spec.average_every}, but {run}: the weights of one step alone "
            "would be averaged. Give a lower --average-every."
        )
    for name in ("eval_every", "log_every"):
        value, flag = getattr(spec, name), "--" + name.replace("_", "-")
        if name in given and value > spec.steps:
            yield f"{name} is {value}, but {run}: give {flag} {spec.steps} or less."


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
