"""What a run measured, to be held against another's."""

from __future__ import annotations

import math

from engine.protocol import ArmEvaluated, Evaluated, HeadTrained, StepsTaken
from engine.rundir import RunDir
from tests.small_runs import read_events


def numbers(run_dir: RunDir) -> dict[tuple[object, ...], float]:
    """Return every measured value, the last one told winning."""
    values: dict[tuple[object, ...], float | None] = {}
    for event in read_events(run_dir):
        if isinstance(event, StepsTaken):
            values["loss", event.step] = event.loss
        elif isinstance(event, HeadTrained):
            values["head",] = event.loss
        elif isinstance(event, Evaluated | ArmEvaluated):
            for each in event.metrics:
                values[event.step, each.split, each.domain, each.arm, each.name] = each.value
    return {key: math.nan if value is None else value for key, value in values.items()}
