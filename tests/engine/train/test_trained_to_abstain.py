"""Runs with outliers: what they draw, compute and resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.data import load_with_outliers
from engine.errors import InputError
from engine.model.block_mask import BlockMask
from engine.objectives import Batch
from engine.protocol import DataPrepared, FeaturesComputed, StepsTaken
from engine.rundir import RunDir
from engine.train import load_last
from engine.train.loop import take_step
from engine.train.setup import Training, prepare
from tests.small_runs import MakeRun, make_outliers, read_events, run_here, stop_here

SHORT = {"steps": 8, "eval_every": 8, "log_every": 4, "head_steps": 0}


@pytest.fixture
def outliers(tmp_path: Path) -> str:
    """Return a folder of twelve outliers."""
    return str(make_outliers(tmp_path / "outliers"))


def prepared(run_dir: RunDir) -> Training:
    spec = run_dir.read_spec()
    return prepare(spec, load_with_outliers(spec, run_dir.cache), run_dir, None)


def tensors(run_dir: RunDir) -> dict[str, Tensor]:
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    return checkpoint.tensors


def losses(run_dir: RunDir) -> list[float | None]:
    return [event.loss for event in read_events(run_dir) if isinstance(event, StepsTaken)]


@pytest.mark.parametrize(
    "fields",
    [
        {"objective": "groupdro", "micro_batch_size": 5, "outlier_batch_size": 3},
        {"transforms": "pil", "masks": "inf"},
        {"tuning": "linear", "linear_features": "penultimate", "views": 2},
    ],
    ids=["groupdro", "pil-inf", "views"],
)
def test_a_stopped_run_ends_as_the_undisturbed_one(
    make_run: MakeRun, outliers: str, fields: dict[str, object]
) -> None:
    whole, parts = (
        make_run(name, **SHORT, outliers=outliers, **fields) for name in ("whole", "parts")
    )
    run_here(whole)
    stop_here(parts, 6)
    run_here(parts)
    ours, theirs = tensors(parts), tensors(whole)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert "random.outliers" in ours
    assert float(ours["objective.abstention.weight"].abs().max()) > 0
    [data, *_] = [event for event in read_events(whole) if isinstance(event, DataPrepared)]
    assert (data.outliers, data.skipped_outliers) == (12, [])


def test_a_batch_in_parts_is_the_batch_up_to_rounding(make_run: MakeRun, outliers: str) -> None:
    fields = {**SHORT, "outliers": outliers, "masks": 3, "optimizer": "sgd", "lr": 1e-2}
    whole, parts = make_run("whole", **fields), make_run("parts", micro_batch_size=5, **fields)
    run_here(whole)
    run_here(parts)
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)
    row = "objective.abstention.weight"
    torch.testing.assert_close(tensors(parts)[row], tensors(whole)[row], rtol=1e-3, atol=1e-5)


def test_outliers_follow_the_images_and_do_not_change_them(
    make_run: MakeRun, outliers: str
) -> None:
    """A step reads the same labelled images with outliers and without, and its objective sees
    the labelled ones only."""
    plain = make_run("plain", **SHORT)
    more = make_run("more", **SHORT, outliers=outliers, outlier_batch_size=7)
    seen: dict[str, Batch] = {}
    counts: dict[str, int] = {}
    for run_dir in (plain, more):
        name, training = run_dir.run_id, prepared(run_dir)
        backbone = training.backbone

        def counted(images: Tensor, at_once: int | None, mask: BlockMask | None) -> Tensor:
            counts[name] = len(images)  # noqa: B023
            return backbone(images, at_once, mask)  # noqa: B023

        training.objective.register_forward_pre_hook(
            lambda _module, given: seen.update({name: given[0]})  # noqa: B023
        )
        take_step(run_dir.read_spec(), dataclasses.replace(training, backbone=counted), 0)
    assert counts == {"plain": 12, "more": 19}
    assert torch.equal(seen["plain"].rows, seen["more"].rows)
    assert torch.equal(seen["plain"].labels, seen["more"].labels)
    assert seen["more"].logits.shape == (8, 12, 3)
    torch.testing.assert_close(seen["plain"].features, seen["more"].features)
    log_odds = seen["more"].abstention
    assert log_odds is not None
    assert (log_odds.images.shape, log_odds.outliers.shape) == ((8, 12), (8, 7))


def test_outliers_are_drawn_anew_at_every_step_and_augmented(
    make_run: MakeRun, outliers: str
) -> None:
    training = prepared(make_run(**SHORT, outliers=outliers))
    assert training.outliers is not None
    first, second = (training.outliers.draw()[0] for _ in range(2))
    assert first.shape == (4, 3, 32, 32)  # as many as of one source
    assert not torch.equal(first, second)


def test_features_of_outliers_are_cached(make_run: MakeRun, outliers: str) -> None:
    fields = {"tuning": "linear", "linear_features": "penultimate", "views": 2, **SHORT}
    events = []
    for name in ("one", "two"):
        run_here(run_dir := make_run(name, **fields, outliers=outliers))
        events += [each for each in read_events(run_dir) if isinstance(each, FeaturesComputed)]
    images = (4 * 48 + 12) * 3
    assert [(each.total, each.reused) for each in events] == [(images, 0), (images, images)]


def test_a_run_does_not_resume_with_other_outliers(make_run: MakeRun, outliers: str) -> None:
    run_dir = make_run(**SHORT, outliers=outliers)
    stop_here(run_dir, 6)
    Image.new("RGB", (9, 9), (1, 2, 3)).save(Path(outliers) / "new.png")
    with pytest.raises(InputError, match=r"The outliers in .*outliers have changed since this run"):
        run_here(run_dir)


def test_the_network_learns_to_abstain_on_outliers_only(make_run: MakeRun, outliers: str) -> None:
    run_dir = make_run(
        outliers=outliers, steps=60, eval_every=60, head_steps=0, warmup_steps=0, lr=3e-3,
        dropout_rate=0.0,
    )  # fmt: skip
    run_here(run_dir)
    training = prepared(run_dir)
    checkpoint = load_last(run_dir.last_checkpoint)
    assert checkpoint is not None
    training.restore(checkpoint)
    seen: list[Batch] = []
    training.objective.register_forward_pre_hook(lambda _module, given: seen.extend(given))
    take_step(run_dir.read_spec(), training, 0)
    log_odds = seen[0].abstention
    assert log_odds is not None
    assert float(log_odds.outliers.detach().min()) > float(log_odds.images.detach().max())
