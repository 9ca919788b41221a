"""Two ranks give what one process gives, whatever is trained, and take up each other's runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.protocol import (
    ArmEvaluated,
    CheckpointSaved,
    Evaluated,
    RunFinished,
    RunStopped,
    resolve_spec,
)
from engine.rundir import RunDir, UserData
from engine.rundir.step_predictions import StepPredictionsFile
from tests.engine.distributed.rank_processes import train_on_two
from tests.measured import numbers
from tests.small_runs import SMALL_RUN, make_outliers, read_events, run_here, stop_here

STEPS = {"steps": 8, "eval_every": 4, "log_every": 1}
STOPPED_AT = 6
RUNS: Mapping[str, Mapping[str, object]] = {
    "dropout": {
        "masks": 3, "arms": ["averaged", "ensemble"], "average_batchnorm": "reestimate",
    },
    # 9 images a step: 4 and 5, of which 2 at a time; 9 to evaluate, 4 on a rank: 8, then 0 and 1.
    "groupdro": {
        "objective": "groupdro+mixup", "optimizer": "sgd", "lr": 1e-2, "grad_clip": 1.0,
        "batch_size": 3, "micro_batch_size": 2, "eval_batch_size": 4, "masks": 2,
        "augment_validation": True, "sampling": "balanced", "select_on": "balanced",
        "dropout_schedule": "linear",
        # and 5 outliers: 2 and 3.
        "outliers": "folder", "outlier_batch_size": 5,
    },
    "penalties": {
        "objective": "rpdro+coral+vrex", "coral_weight": 100.0, "vrex_anneal_steps": 3, "masks": 2,
        "batch_size": 3, "class_weights": "balanced",
    },
    "pil": {
        "transforms": "pil", "augment_validation": True, "batch_size": 5, "head_steps": 0,
        "eval_batch_size": 7,
    },
    "sparse": {"sparsity": 0.5, "head_steps": 0, "arms": ["averaged", "refined"]},
    "linear": {
        "tuning": "linear", "linear_start": "authors", "model": "tf_efficientnet_lite0",
        "optimizer": "sgd", "views": None,
    },
    "views": {"tuning": "linear", "model": "test_vit", "views": 2, "augment_validation": True},
    "penultimate": {  # frozen features, so that the basis is the same to the last bit
        "tuning": "linear", "linear_features": "penultimate", "views": 2, "mask_basis": "pca",
        "mask_basis_every": 3,
    },
    "confreg": {"objective": "confreg+coral", "teacher": "teacher", "eval_batch_size": 7},
    "begun-by-two": {
        "head_steps": 0, "arms": ["averaged", "swad"], "swad_converge": 1, "target": "none",
        "masks": "inf", "mask_draws": 8, "objective": "odd", "odd_from": 2,
    },
    "begun-by-one": {"head_steps": 0, "arms": ["averaged"], "mask_at": "layer2"},
}  # fmt: skip


FEW = ("groupdro", "begun-by-two")
Pairs = dict[str, tuple[RunDir, RunDir]]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(FEW, id="few"),
        pytest.param([*RUNS.keys() - {*FEW}], id="more", marks=pytest.mark.slow),
    ],
)
def pairs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, small_emoji: Path
) -> Pairs:
    """Do each run in one process, and with two ranks in all or a part of it."""
    runs = tmp_path_factory.mktemp("home") / "runs"

    def make(name: str, fields: Mapping[str, object]) -> RunDir:
        run_dir = RunDir(runs / name)
        values = {"data_dir": str(small_emoji), **SMALL_RUN, **STEPS, **fields}
        if "outliers" in fields:
            values["outliers"] = str(make_outliers(runs.parent / "outliers"))
        run_dir.create(resolve_spec(values), UserData())
        return run_dir

    if "confreg" in request.param:
        run_here(make("teacher", {"dropout_rate": 0}))
    done: Pairs = {}
    for name in request.param:
        done[name] = make(f"{name}-alone", RUNS[name]), make(name, RUNS[name])
        run_here(done[name][0])
    of_two = {name: pair[1] for name, pair in done.items()}
    if "begun-by-one" in of_two:
        stop_here(of_two["begun-by-one"], STOPPED_AT)
    train_on_two(runs.parent / "meeting", [*of_two.values()], {"begun-by-two": STOPPED_AT})
    if "begun-by-two" in of_two:
        run_here(of_two["begun-by-two"])
    return done


def selections(run_dir: RunDir) -> list[tuple[object, ...]]:
    return [
        (type(event), event.step, event.is_best)
        for event in read_events(run_dir)
        if isinstance(event, Evaluated | ArmEvaluated)
    ]


def test_two_ranks_measure_what_one_process_does(pairs: Pairs) -> None:
    for alone, of_two in pairs.values():
        expected = numbers(alone)
        assert numbers(of_two) == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert selections(of_two) == selections(alone)
        assert isinstance(read_events(of_two)[-1], RunFinished)
        losses = [value for key, value in expected.items() if key[0] == "loss"]
        assert len(set(losses)) == len(losses) == STEPS["steps"]


def test_two_ranks_leave_the_checkpoints_of_one_process(pairs: Pairs) -> None:
    for alone, of_two in pairs.values():
        files = sorted(path.name for path in alone.checkpoints.iterdir())
        assert files == sorted(path.name for path in of_two.checkpoints.iterdir())
        for file in files:
            theirs, ours = load_file(alone.checkpoints / file), load_file(of_two.checkpoints / file)
            assert theirs.keys() == ours.keys()
            for key, tensor in theirs.items():
                if key.startswith("random."):
                    assert torch.equal(ours[key], tensor)
                else:
                    torch.testing.assert_close(ours[key], tensor, rtol=1e-5, atol=1e-5, msg=key)


def test_every_image_is_counted_once(pairs: Pairs) -> None:
    for alone, of_two in pairs.values():
        assert images_counted(of_two) == images_counted(alone)
        kept = [StepPredictionsFile.open(each.step_predictions) for each in (alone, of_two)]
        assert kept[0].blocks.keys() == kept[1].blocks.keys()
        assert kept[0].read_images() == kept[1].read_images()


def images_counted(run_dir: RunDir) -> list[tuple[str, str, int]]:
    predictions = run_dir.read_predictions()
    assert predictions is not None
    return [
        (each.domain, each.split, sum(pair.images for pair in each.confusions))
        for each in predictions.domains
    ]


def test_one_rank_asked_to_stop_all_stop_before_the_same_step(pairs: Pairs) -> None:
    if "begun-by-two" not in pairs:
        pytest.skip("the others are not stopped")
    run_dir = pairs["begun-by-two"][1]
    events = read_events(run_dir)
    (stopped,) = [event for event in events if isinstance(event, RunStopped)]
    assert stopped.step == STOPPED_AT
    saved = events[events.index(stopped) - 1]
    assert isinstance(saved, CheckpointSaved)
    assert (saved.kind, saved.step) == ("last", STOPPED_AT)
