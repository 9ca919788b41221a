"""The script for GPUs computes what it prints, and says when there is no GPU."""

from __future__ import annotations

import re

import pytest
import torch

from benchmarks import gpu


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("No GPU on this machine")


@pytest.mark.slow
def test_small_networks_are_measured_on_the_processor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert gpu.main(["--device", "cpu", "--tiny"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["test_resnet", "test_vit"]
    for row in rows:
        _, ours, theirs, ratio, of_peak, waiting = row.split(" | ")[1:]
        ours_per_s, theirs_per_s = (float(each.replace(",", "")) for each in (ours, theirs))
        assert ours_per_s > 0
        assert theirs_per_s > 0
        assert re.fullmatch(r"×\d+\.\d\d", ratio)
        assert float(of_peak.rstrip("%")) > 0
        assert 0 <= float(waiting.rstrip("% |")) <= 100


def test_a_rate_counts_steps_over_the_time_they_took() -> None:
    done = []

    def step() -> None:
        done.append(torch.ones(4).sum())

    size = gpu.Size(turn_s=0.05, steps_at_once=5)
    rate = gpu.steps_per_second(step, size, torch.device("cpu"))
    counted = len(done) - size.steps_at_once  # the first ones are not measured
    assert counted % size.steps_at_once == 0
    assert rate <= counted / size.turn_s
