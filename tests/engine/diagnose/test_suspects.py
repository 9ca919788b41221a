"""Training images with wrong labels are suspects: on real small runs, with labels flipped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from engine.datasets.catalog import find_image_set
from engine.diagnose.suspects import find_suspects
from engine.errors import InputError
from engine.protocol import Combination, CombinationSpec, Parent
from engine.protocol.suspects import (
    FindSuspects,
    Suspects,
    decode_suspects,
    encode_suspects,
)
from engine.rundir import RunDir, UserData
from tests.flipped_labels import FLIPPED, flip_labels
from tests.small_runs import MakeRun, run_here

TARGET: Final = "fluent-mono"
LINEAR: Final[dict[str, object]] = {
    "model": "tf_efficientnet_lite0", "weights": "pretrained", "tuning": "linear",
    "linear_features": "penultimate", "dropout_rate": 0.0, "steps": 100, "eval_every": 100,
    "head_steps": 0, "lr": 0.1, "warmup_steps": 0, "views": 1, "image_size": 64,
}  # fmt: skip


@pytest.fixture
def flipped(small_emoji: Path, tmp_path: Path) -> Path:
    """Return images of which one in sixteen is in the folder of another class."""
    return flip_labels(small_emoji, tmp_path / "images")


def _find(run_dir: RunDir, **fields: Any) -> Suspects:
    request = FindSuspects(run_dir=str(run_dir.path), device="cpu", threads=1, **fields)
    return find_suspects(request, lambda _report: None)


def test_flipped_labels_come_first_for_a_linear_run(make_run: MakeRun, flipped: Path) -> None:
    run_dir = make_run(data_dir=str(flipped), **LINEAR)
    run_here(run_dir)
    found = _find(run_dir, quantile=0.2)
    assert [each.step for each in found.checkpoints][-1] == 100
    spec = run_dir.read_spec()
    assert found.images == 3 * 39
    assert len(found.listed) == found.images
    assert all(each.domain != spec.target for each in found.listed)
    is_flipped = [Path(each.path).name.startswith(FLIPPED) for each in found.listed]
    count = sum(is_flipped)
    assert count >= 6
    assert sum(is_flipped[: 2 * count]) >= count / 2, "by chance 2 of 12"
    for each in found.listed:
        assert each.score == pytest.approx(each.loss - each.random_loss, abs=1e-9)
        assert each.is_suspect == (each.score >= found.threshold)
        assert each.path.split("/")[:2] == [each.domain, each.class_name]
    assert found.suspects == sum(each.is_suspect for each in found.listed)
    assert bool(found.listed[0].picture)
    assert not found.listed[-1].picture
    assert decode_suspects(encode_suspects(found)) == found
    image_set = find_image_set(spec)
    of_domain = [each.path for each in image_set.files if each.domain == found.listed[0].domain]
    assert of_domain[found.listed[0].index] == found.listed[0].path


def test_copies_of_other_labels_are_conflicts(
    make_run: MakeRun, small_emoji: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_emoji, tmp_path / "images"))
    source = min((folder / "noto" / "food").iterdir())
    shutil.copy(source, folder / "noto" / "animal" / f"{FLIPPED}{source.name}")
    of_target = folder / TARGET / "face" / f"{FLIPPED}{source.name}"
    shutil.copy(source, of_target)  # never compared: what is excluded may not depend on it
    run_dir = make_run(data_dir=str(folder))
    run_here(run_dir)
    for near_distance in (0, 4):
        found = _find(run_dir, near_distance=near_distance)
        conflicts = {each.path: each.conflicts for each in found.listed if each.conflicts}
        names = {f"noto/food/{source.name}", f"noto/animal/{FLIPPED}{source.name}"}
        identical = {
            path: twin.path
            for path, twins in conflicts.items()
            for twin in twins
            if twin.kind == "identical"
        }
        assert identical
        assert set(identical) <= names
        assert all({path, twin} == names for path, twin in identical.items())


def test_both_checkpoints_are_used_if_they_are_of_different_steps(make_run: MakeRun) -> None:
    run_dir = make_run()
    run_here(run_dir)
    both = _find(run_dir)
    steps = {each.at: each.step for each in both.checkpoints}
    run_dir.best_checkpoint.unlink()
    [last] = _find(run_dir).checkpoints
    assert (last.at, last.step) == ("last", 24)
    assert steps == {"best": steps["best"]} | ({"last": 24} if steps["best"] != 24 else {})


def test_what_cannot_be_ranked_is_refused(
    make_run: MakeRun, small_emoji: Path, tmp_path: Path
) -> None:
    images = Path(shutil.copytree(small_emoji, tmp_path / "images"))
    run_dir = make_run(data_dir=str(images))
    with pytest.raises(InputError, match="has no checkpoints: it has not saved a network yet"):
        _find(run_dir)
    run_here(run_dir)
    moved = next((images / "noto" / "food").iterdir())
    moved.rename(images / "noto" / "face" / moved.name)
    with pytest.raises(InputError, match="have changed since run run was trained"):
        _find(run_dir)
    shutil.rmtree(images)
    with pytest.raises(InputError, match="no folder or file"):
        _find(run_dir)
    shutil.rmtree(run_dir.checkpoints)
    with pytest.raises(InputError, match="has no checkpoints: they were deleted"):
        _find(run_dir)


@pytest.mark.parametrize("method", ["soup", "ensemble"])
def test_a_combined_run_has_one_network(make_run: MakeRun, method: Any) -> None:
    parents = [make_run(f"run{seed}", seed=seed, trial_seed=0, steps=8) for seed in range(2)]
    for each in parents:
        run_here(each)
    combination = Combination(
        method=method,
        parents=tuple(Parent(each.run_id, str(each.best_checkpoint)) for each in parents),
    )
    combined = RunDir(parents[0].path.parent / method)
    combined.create(CombinationSpec.of(parents[0].read_spec(), combination), UserData())
    run_here(combined)
    found = _find(combined)
    assert [(each.at, each.step) for each in found.checkpoints] == [("best", None)]
    assert found.images == 3 * 39
