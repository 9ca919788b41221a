"""Evaluations are in fp32, whatever precision trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.data import load_data
from engine.evaluate import evaluate_domains, network_predictor
from engine.execution import Execution
from engine.model import build_network
from engine.protocol import ArmEvaluated, Evaluated, ModelPrepared
from engine.rundir import RunDir
from tests.small_runs import MakeRun, read_events, run_here

BF16 = {"precision": "bf16", "steps": 8, "model": "resnet10t"}


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
