"""The row on interpolation from the network that fine-tuning started from: WiSE-FT."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.parity.data import paper_spec
from benchmarks.parity.images import CLASSES, save_domains
from benchmarks.parity.reference.combining import wise_ft
from benchmarks.parity.reference.training import accuracy
from benchmarks.parity.row import Row, difference_text
from benchmarks.parity.whole_run import do, read_splits
from engine.protocol import Combination, CombinationSpec, Evaluated, Parent, RunSpec, decode_event
from engine.rundir import RunDir, UserData
from engine.stop_request import StopRequest

NETWORK: Final = "resnet18"
SIZE: Final = 32
POINTS: Final = 5
RUN: Final[dict[str, object]] = {
    "model": NETWORK, "image_size": SIZE, "batch_size": 8, "transforms": "batch", "arms": [],
    "lr": 5e-2, "head_steps": 50, "steps": 8, "eval_every": 8, "lr_drops": [7],
    "augment_validation": False,
}  # fmt: skip
"""A run whose last layer is trained first, so that its start can classify."""


class _StopAtTheStart(StopRequest):
    """A stop request that becomes true with the first checkpoint, which is that of the start."""

    def __init__(self, run_dir: RunDir) -> None:
        super().__init__()
        self._checkpoint = run_dir.last_checkpoint

    @property
    def requested(self) -> bool:
        """Return whether the checkpoint exists."""
        return self._checkpoint.exists()


def wise_ft_of_a_run(folder: Path) -> Row:
    """Compare every accuracy of the interpolation."""
    images = save_domains(folder / "images", per_class=20, sizes=((40, 40),))
    weights_file = folder / "weights.safetensors"
    save_file(timm.create_model(NETWORK).state_dict(), weights_file)
    spec = paper_spec(images, **RUN, weights=str(weights_file))
    run_dir = RunDir(folder / "home" / "runs" / "tuned")
    run_dir.create(spec, UserData())
    do(run_dir, _StopAtTheStart(run_dir))
    start = _network(run_dir)
    do(run_dir)
    ours = _our_way(run_dir, spec)
    splits = read_splits(images, SIZE)
    tuned, away = _network(run_dir), []
    for at in range(POINTS):
        weights = wise_ft(start, tuned, at / (POINTS - 1))
        for (domain, split), (pixels, labels) in splits.items():
            theirs = accuracy(_predict(weights, pixels), labels)
            away.append(abs(ours[round(100 * at / (POINTS - 1)), domain, split] - theirs))
    return Row(
        "interpolation from the network that a run started from (WiSE-FT)",
        "between the initial and the final checkpoint of fine-tuning (wise-ft `src/wise_ft.py`)",
        "`vld combine interpolate pretrained B`, B's first network rebuilt from its specification; "
        "a linear probe, not called WiSE-FT, if B started with a random last layer",
        f"a run of {spec.steps} updates after {spec.head_steps} of the last layer; its first "
        f"network is kept for the reference; {POINTS} values of α, {len(splits)} splits",
        f"{len(away)} accuracies: {difference_text(max(away))}",
        len(away) == len(ours) and max(away) == 0 and len(set(ours.values())) > POINTS,
    )


def _our_way(run_dir: RunDir, spec: RunSpec) -> dict[tuple[int, str, str], float]:
    """Return the accuracy at each value of α, by domain and split."""
    parents = (
        Parent("", None, "start_of_run"),
        Parent(run_dir.path.name, str(run_dir.last_checkpoint)),
    )
    combination = Combination(method="interpolation", parents=parents, points=POINTS)
    way = RunDir(run_dir.path.with_name("way"))
    way.create(CombinationSpec.of(spec, combination), UserData())
    do(way)
    return {
        (event.step, each.domain, each.split): each.value or 0.0
        for line in way.events.read_bytes().splitlines()
        if isinstance(event := decode_event(line), Evaluated)
        for each in event.metrics
        if each.name == "accuracy"
    }


def _network(run_dir: RunDir) -> dict[str, Tensor]:
    """Return the weights of the last checkpoint."""
    saved = load_file(run_dir.last_checkpoint)
    prefix = "network."
    return {
        name.removeprefix(prefix): each for name, each in saved.items() if name.startswith(prefix)
    }


@torch.no_grad()
def _predict(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    module = timm.create_model(NETWORK, num_classes=len(CLASSES))
    module.load_state_dict(weights)
    logits: Tensor = module.eval()(pixels)
    return logits
