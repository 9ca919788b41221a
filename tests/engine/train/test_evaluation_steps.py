"""When a run is evaluated, and that a resumed one is then too."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from engine.protocol import ArmEvaluated, Evaluated, RunFinished, evaluation_steps
from engine.rundir import RunDir
from tests.small_runs import MakeRun, read_events, run_here, stop_here

FROM_THE_FIRST = {
    "steps": 9,
    "eval_from": 1,
    "eval_every": 3,
    "head_steps": 0,
    "arms": ["averaged", "ensemble"],
    "average_from": 4,
}


def measured(run_dir: RunDir) -> dict[tuple[str, int], object]:
    return {
        (event.arm if isinstance(event, ArmEvaluated) else "own", event.step): event.metrics
        for event in read_events(run_dir)
        if isinstance(event, Evaluated | ArmEvaluated)
    }


def test_a_run_is_evaluated_after_its_first_step_and_resumed_it_is_the_same(
    make_run: MakeRun,
) -> None:
    whole, parts = (make_run(name, **FROM_THE_FIRST) for name in ("whole", "parts"))
    run_here(whole)
    own, *arms = (
        [step for name, step in measured(whole) if name == arm]
        for arm in ("own", "averaged", "ensemble")
    )
    assert own == list(evaluation_steps(whole.read_spec())) == [1, 4, 7, 9]
    assert arms == [[4, 7, 9], [4, 7, 9]], "from average_from on"

    stop_here(parts, 5)
    assert not isinstance(read_events(parts)[-1], RunFinished)
    run_here(parts)
    assert measured(parts) == measured(whole)
    ours, theirs = load_file(parts.last_checkpoint), load_file(whole.last_checkpoint)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
