"""Memory that runs out is explained, by what was wanted and by what fits when tried."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.errors import TrainingError
from engine.machine.devices import is_out_of_memory, requested_bytes
from engine.model import FineTunedNetwork
from engine.protocol import RunFailed
from tests.small_runs import MakeRun, engine_environment, read_events, run_here

ON_CUDA = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of "
    "which 1.05 GiB is free."
)
STARVED = """
import resource, sys, psutil
import engine.run, engine.__main__
limit = psutil.Process().memory_info().vms + 600 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(engine.__main__.main([sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.OutOfMemoryError(ON_CUDA), int(2.5 * 2**30)),
        (RuntimeError("can't allocate memory: you tried to allocate 4096 bytes."), 4096),
        (MemoryError("Unable to allocate 1.5 MiB for an array"), 3 * 2**19),
        (MemoryError(), None),
    ],
)
def test_shortages_are_told_from_other_errors(error: Exception, wanted: int | None) -> None:
    assert is_out_of_memory(error)
    assert requested_bytes(error) == wanted
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_a_process_without_the_memory_says_so(make_run: MakeRun) -> None:
    run_dir = make_run(batch_size=64, image_size=128, freeze_batchnorm=False, head_steps=0)
    code = subprocess.run(
        [sys.executable, "-c", STARVED, str(run_dir.path)],
        env=engine_environment(), capture_output=True, check=False,
    ).returncode  # fmt: skip
    assert code == 1
    failed = read_events(run_dir)[-1]
    assert isinstance(failed, RunFailed)
    told = re.match(
        r"Out of memory on cpu: [\d.]+ .iB requested, the process is limited to "
        r"[\d.]+ GiB \(ulimit -v\)\. Restart with a smaller --batch or --image-size\.$",
        failed.message,
    )
    assert told is not None, failed.message
    assert "can't allocate memory" in failed.traceback


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many images the device takes at once while training, to be changed."""
    features, most = FineTunedNetwork._features, [5]

    def limited(network: FineTunedNetwork, images: Tensor, *folded: Any) -> Tensor:
        if torch.is_grad_enabled() and len(images) > most[0]:
            raise torch.OutOfMemoryError(ON_CUDA)
        return features(network, images, *folded)

    monkeypatch.setattr(FineTunedNetwork, "_features", limited)
    return most


@pytest.mark.slow
def test_the_part_that_fits_is_found_and_works(make_run: MakeRun, small_memory: list[int]) -> None:
    with pytest.raises(TrainingError, match=r"2\.5 GiB requested.*--micro-batch 3: two"):
        run_here(make_run("whole"))
    run_here(make_run("parts", micro_batch_size=3))
    small_memory[0] = 0
    with pytest.raises(TrainingError, match="with a smaller --model or --image-size"):
        run_here(make_run("none"))


def test_parts_are_not_advised_where_they_would_change_the_result(
    make_run: MakeRun, small_memory: list[int]
) -> None:
    assert small_memory
    with pytest.raises(TrainingError, match="Restart with a smaller --batch"):
        run_here(make_run(freeze_batchnorm=False))


def test_an_evaluation_too_large_is_told_from_a_step(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_arguments: object, **_named: object) -> None:
        raise torch.OutOfMemoryError(ON_CUDA)

    monkeypatch.setattr("engine.train.attempt.evaluate_domains", starved)
    with pytest.raises(TrainingError, match="so an evaluation or.*--eval-batch-size 16"):
        run_here(make_run())
