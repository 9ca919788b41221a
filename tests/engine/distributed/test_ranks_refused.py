"""What several GPUs or processes cannot do is said before anything is trained."""

from __future__ import annotations

import pytest

from engine.errors import InputError
from engine.protocol import SpecError, resolve_spec
from tests.small_runs import MakeRun, run_here


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device": "cuda"}, "gpus is 2, but this machine has no GPU"),
        ({"device": "auto"}, "has no GPU.*--device cpu"),
        ({"device": "cpu", "nodes": 2}, "not inside a 2-node Slurm job"),
        ({"device": "cpu", "gpus": 16}, "16 GPUs or processes cannot share a step of 12 images"),
    ],
)
def test_more_than_there_are_is_refused(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], message: str
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(InputError, match=message):
        run_here(make_run(**{"gpus": 2, **fields}))


def test_the_gpus_that_are_hidden_are_named(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with pytest.raises(InputError, match=r"gpus is 3, .* has 2 \(CUDA_VISIBLE_DEVICES=4,7\)"):
        run_here(make_run(gpus=3, device="cuda"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"freeze_batchnorm": False}, "gpus is 2, but freeze_batchnorm is false"),
        ({"device": "cuda:1"}, "gpus is 2, but device is 'cuda:1'"),
        ({"gpus": 1, "nodes": 2, "freeze_batchnorm": False}, "nodes is 2, but freeze_batchnorm"),
        ({"gpus": 0}, "gpus is 0, but must be a whole number from 1 to 64"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        resolve_spec({"gpus": 2, **fields})
