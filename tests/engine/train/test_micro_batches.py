"""A batch computed in parts is the batch."""

from __future__ import annotations

import pytest
import torch

from engine.model import build_network
from engine.protocol import Evaluated, StepsTaken
from engine.rundir import RunDir
from engine.train import load_last
from tests.small_runs import MakeRun, read_events, run_here


def losses(run_dir: RunDir) -> list[float | None]:
    return [event.loss for event in read_events(run_dir) if isinstance(event, StepsTaken)]


def weights(run_dir: RunDir) -> torch.Tensor:
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    return torch.cat(
        [each.flatten() for each in checkpoint.part("network.").values() if each.ndim > 1]
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"masks": 3, "arms": ["averaged"]},
        {"objective": "groupdro", "optimizer": "sgd", "lr": 1e-2, "grad_clip": 1.0},
        {"objective": "rpdro+coral", "class_weights": "balanced"},
        {"tuning": "linear", "model": "test_vit", "optimizer": "sgd"},
        {"mask_at": "layer2", "optimizer": "sgd"},
    ],
    ids=["adamw", "groupdro", "rpdro-coral", "linear", "masked block"],
)
def test_a_run_in_parts_is_the_run_up_to_rounding(
    make_run: MakeRun, fields: dict[str, object]
) -> None:
    whole, parts = make_run("whole", **fields), make_run("parts", micro_batch_size=5, **fields)
    run_here(whole)
    run_here(parts)  # 5 + 5 + 2 images, across the borders of the sources
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)
    assert losses(parts)[0] != losses(parts)[-1]
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-3, atol=1e-4)
    evaluated = [event for event in read_events(parts) if isinstance(event, Evaluated)]
    assert [event.step for event in evaluated] == [0, 8, 16, 24]


def test_of_the_other_parts_nothing_is_kept_but_features() -> None:
    network = build_network("resnet10t", classes=3, weights="none", image_size=32, seed=0)
    images = torch.randn(12, 3, 32, 32)

    def kept_bytes(at_once: int | None) -> int:
        kept = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            kept.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network.features(images, at_once)
        return sum(kept)

    network.set_training(freeze_batchnorm=True)
    assert kept_bytes(4) < kept_bytes(None) / 10
