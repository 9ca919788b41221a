"""Interpolation from the network that a run's fine-tuning started from: WiSE-FT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import InputError
from engine.protocol import Cautioned, Evaluated, HeadTrained, RunSpec, RunStopped
from engine.run import run
from engine.rundir import RunDir, UserData
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest
from tests.engine.combine.conftest import Family, do, evaluations
from tests.small_runs import read_events

DESTRUCTIVE = {
    "head_steps": 300, "lr": 0.2, "optimizer": "adamw", "warmup_steps": 0, "steps": 2,
}  # fmt: skip
"""Steps after which the network is so much worse that the start of the way is selected."""


class StopOnceSaved(StopRequest):
    """Asks for a stop when a checkpoint to resume from exists."""

    def __init__(self, run_dir: RunDir) -> None:
        super().__init__()
        self._checkpoint = run_dir.last_checkpoint

    @property
    def requested(self) -> bool:
        """Say whether the checkpoint exists."""
        return self._checkpoint.exists()


def train_from_a_kept_start(family: Family, name: str, **fields: Any) -> dict[str, Tensor]:
    """Train a run, and return the network that it had at step 0."""
    run_dir = family[name]
    values = {f: getattr(family.spec, f) for f in family.spec.__struct_fields__}
    run_dir.create(RunSpec(**values | fields), UserData())
    log = EventLog(run_dir.events)
    stopped = run(run_dir, log, StopOnceSaved(run_dir))
    assert isinstance(stopped, RunStopped)
    assert stopped.step == 0
    log.record(stopped)
    log.close()
    saved = load_file(run_dir.last_checkpoint)
    do(run_dir)
    prefix = "network."
    return {n.removeprefix(prefix): each for n, each in saved.items() if n.startswith(prefix)}


def from_start(family: Family, name: str) -> RunDir:
    """Interpolate from the start of a run to its last network."""
    return family.combine("interpolation", "start", name, at="last", points=2)


def cautions_about_the_start(run_dir: RunDir) -> list[str]:
    told = [event.message for event in read_events(run_dir) if isinstance(event, Cautioned)]
    return [message for message in told if "first network of run" in message]


@pytest.fixture
def bare_weights(tmp_path: Path) -> Path:
    """Return a weight file without a last layer to keep, for tuning linearly."""
    torch.manual_seed(5)
    path = tmp_path / "bare.safetensors"
    save_file(timm.create_model("test_vit", num_classes=0, img_size=32).state_dict(), path)
    return path


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"seed": 7, "masks": 3, "dropout_rate": 0.5, "eval_batch_size": 5},
        {"precision": "bf16", "seed": 3},
        {"model": "test_vit", "tuning": "linear", "linear_start": "authors", "target": "none"},
    ],
    ids=["kept last layer", "other settings", "bf16", "linear with a new last layer"],
)
def test_the_start_is_the_network_that_the_run_had_at_step_0(
    family: Family, bare_weights: Path, fields: dict[str, Any]
) -> None:
    if fields.get("tuning") == "linear":
        fields = {**fields, "weights": str(bare_weights)}
    start = train_from_a_kept_start(family, "tuned", **DESTRUCTIVE | fields)
    way = from_start(family, "tuned")
    before = {(m.domain, m.split, m.name): m.value for m in evaluations(family["tuned"])[0].metrics}
    now = {(m.domain, m.split, m.name): m.value for m in evaluations(way)[0].metrics}
    assert now == before
    rebuilt = load_file(way.best_checkpoint)
    assert rebuilt.keys() == start.keys()
    assert all(torch.equal(rebuilt[name], start[name]) for name in start)
    told = [next(e for e in read_events(d) if isinstance(e, HeadTrained))
            for d in (family["tuned"], way)]  # fmt: skip
    assert told[0].loss == told[1].loss
    assert told[0].steps == told[1].steps
    assert cautions_about_the_start(way) == []


def test_a_run_that_trained_no_last_layer_started_from_that_of_its_file(family: Family) -> None:
    family.train("tuned", **DESTRUCTIVE | {"head_steps": 0})
    way = from_start(family, "tuned")
    start, theirs = load_file(way.best_checkpoint), load_file(family["start"].best_checkpoint)
    assert all(torch.equal(start[name], theirs[name]) for name in theirs)
    assert not any(isinstance(event, HeadTrained) for event in read_events(way))


def test_a_random_last_layer_is_no_network_to_start_from(family: Family, tmp_path: Path) -> None:
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(family["start"].best_checkpoint), bare)  # without the names of classes
    family.train("tuned", head_steps=0, weights=str(bare), steps=1)
    with pytest.raises(
        InputError, match="started with a random last layer.* pretrained .* --probe"
    ):
        do(family.make("interpolation", "start", "tuned"))
    way = family.combine("interpolation", "probe", "tuned", points=2)
    assert [type(e) for e in read_events(way)].count(Evaluated) == 2


@pytest.mark.parametrize("end", ["start", "probe"])
def test_another_file_of_weights_is_refused(family: Family, tmp_path: Path, end: str) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(family["start"].best_checkpoint.read_bytes())
    family.train("tuned", weights=str(weights), steps=1)
    weights.write_bytes(family["first"].best_checkpoint.read_bytes())
    with pytest.raises(InputError, match="has changed since run tuned started from it"):
        do(family.make("interpolation", end, "tuned"))


def test_a_start_that_is_not_the_run_s_own_is_told(family: Family) -> None:
    events = family["first"].events
    (trained,) = [e for e in read_events(family["first"]) if isinstance(e, HeadTrained)]
    events.write_text(events.read_text().replace(f'"loss":{trained.loss}', '"loss":0.125'))
    (caution,) = cautions_about_the_start(from_start(family, "first"))
    assert caution.startswith("The first network of run first was not rebuilt exactly: ")
    assert f"{trained.loss:.4f} here and 0.1250 in that run." in caution
    events.write_text("")
    (caution,) = cautions_about_the_start(from_start(family, "first"))
    assert "its event log lacks the loss" in caution
