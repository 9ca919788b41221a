"""When a run is evaluated, and in which precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.data import load_data
from engine.evaluate import evaluate_domains, network_predictor
from engine.execution import Execution
from engine.model import build_network
from engine.protocol import ArmEvaluated, Evaluated, ModelPrepared, RunFinished, evaluation_steps
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
BF16 = {"precision": "bf16", "steps": 8, "model": "resnet10t"}


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


def losses_in_fp32(run_dir: RunDir, file: Path) -> list[float]:
    """Return the losses of a kept network on every split, by a pass of its own."""
    spec = run_dir.read_spec()
    data = load_data(spec, run_dir.cache)
    network = build_network(
        spec.model, classes=len(data.classes), weights="none", image_size=spec.image_size, seed=0
    )
    network.module.load_state_dict(load_file(file))
    predictor = network_predictor(network, 8, Execution(torch.device("cpu"), "fp32", "contiguous"))
    metrics = evaluate_domains(predictor, data, "any").metrics
    return [each.value for each in metrics if each.name == "loss" and each.value is not None]


def losses(event: Evaluated | ArmEvaluated) -> list[float]:
    return [each.value for each in event.metrics if each.name == "loss" and each.value is not None]


@pytest.mark.parametrize("batchnorm", ["average", "reestimate"])
def test_a_run_trained_in_bf16_is_evaluated_in_fp32(make_run: MakeRun, batchnorm: str) -> None:
    run_dir = make_run(**BF16, arms=["averaged"], average_batchnorm=batchnorm)
    run_here(run_dir)
    events = read_events(run_dir)
    own = [each for each in events if isinstance(each, Evaluated)]
    best = max(own, key=lambda each: (each.id_accuracy, -each.step))
    [averaged] = [each for each in events if isinstance(each, ArmEvaluated)]
    expected = losses_in_fp32(run_dir, run_dir.best_checkpoint)
    assert losses(best) == pytest.approx(expected, rel=1e-5)
    expected = losses_in_fp32(run_dir, run_dir.checkpoints / "averaged.safetensors")
    assert losses(averaged) == pytest.approx(expected, rel=1e-5)


def test_the_event_of_the_network_has_both_precisions(make_run: MakeRun) -> None:
    run_dir = make_run(**BF16)
    run_here(run_dir)
    [prepared] = [each for each in read_events(run_dir) if isinstance(each, ModelPrepared)]
    assert (prepared.precision, prepared.evaluation_precision) == ("bf16", "fp32")
