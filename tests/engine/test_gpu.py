"""What only a CUDA device can show; skipped elsewhere."""

import pytest
import torch

from engine.protocol import Evaluated, FeaturesComputed, ModelPrepared, RunFinished
from tests.small_runs import MakeRun, read_events, start_engine

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16", "fp16"])
def test_a_run_finishes_in_every_precision(make_run: MakeRun, precision: str) -> None:
    run_dir = make_run(device="cuda", precision=precision, memory_format="auto")
    assert start_engine(run_dir).wait(timeout=200) == 0
    events = read_events(run_dir)
    assert isinstance(events[-1], RunFinished)
    prepared = next(event for event in events if isinstance(event, ModelPrepared))
    assert prepared.device == "cuda:0"
    assert precision in ("auto", prepared.precision)


@pytest.mark.parametrize("features", ["blocks", "penultimate"])
def test_a_linear_run_reads_features_of_the_gpu(make_run: MakeRun, features: str) -> None:
    fields = {"tuning": "linear", "model": "test_vit", "views": 2, "linear_features": features}
    computed = []
    for name, device in (("cpu", "cpu"), ("gpu", "cuda"), ("again", "cuda")):
        run_dir = make_run(name, device=device, precision="auto", **fields)
        assert start_engine(run_dir).wait(timeout=200) == 0
        told = [each for each in read_events(run_dir) if isinstance(each, FeaturesComputed)]
        computed.append(told[-1].total - told[-1].reused)
    assert computed == [3 * 192, 3 * 192, 0]


def test_cpu_and_gpu_agree_before_training(make_run: MakeRun) -> None:
    accuracies = {}
    for device in ("cpu", "cuda"):
        run_dir = make_run(device, device=device, dropout_rate=0.0, steps=1, eval_every=1)
        assert start_engine(run_dir).wait(timeout=200) == 0
        first = next(event for event in read_events(run_dir) if isinstance(event, Evaluated))
        accuracies[device] = first.id_accuracy
    assert accuracies["cpu"] == pytest.approx(accuracies["cuda"], abs=0.1)
