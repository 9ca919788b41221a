"""Size and time of features, before and after runs have computed them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.protocol.feature_costs import FeatureCost, FeatureQuestion, FeatureSource
from engine.rundir import RunDir
from engine.train.feature_costs import feature_costs
from tests.small_runs import MakeRun, run_here

LINEAR = {
    "tuning": "linear", "model": "test_vit", "views": 2, "steps": 2, "head_steps": 0,
    "warmup_steps": 0,
}  # fmt: skip
IMAGES, WIDTH = 192, 64
ARRAY_BYTES = IMAGES * 3 * WIDTH * 4


@pytest.fixture
def run_dir(make_run: MakeRun) -> RunDir:
    return make_run(**LINEAR)


def ask(
    run_dir: RunDir, is_here: bool = True, times_steps: bool = False, **fields: Any
) -> FeatureCost:
    spec = msgspec.structs.replace(run_dir.read_spec(), **fields)
    source = FeatureSource(spec, 4, IMAGES)
    asked = FeatureQuestion(str(run_dir.cache), (source,), times_steps)
    return feature_costs(asked, lambda _: is_here).costs[0]


def test_features_count_until_a_run_has_computed_them(run_dir: RunDir) -> None:
    before = ask(run_dir)
    assert (before.array_bytes, before.arrays, before.missing) == (ARRAY_BYTES, 3, 3)
    run_here(run_dir)
    stored = sum(file.stat().st_size for file in run_dir.cache.glob("features/*/features.bin"))
    assert stored == 3 * ARRAY_BYTES
    after = ask(run_dir)
    assert (after.missing, after.timing) == (0, None)
    assert ask(run_dir, views=5).missing == 3
    for other in ({"seed": 9}, {"image_size": 48}, {"linear_start": "authors"}):
        assert ask(run_dir, **other).missing == 3, other
    assert ask(run_dir, transforms="pil").missing == 2, "the images without augmentation are there"
    assert ask(run_dir, is_here=False).missing == 3, "weights that would have to be downloaded"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"transforms": "pil", "augment_validation": True, "dropout_rate": 0.0},
        {"model": "test_resnet+test_vit", "linear_features": "penultimate", "arms": ("averaged",)},
        {"tuning": "full", "model": "test_resnet", "head_steps": 5},
        {"target": "none"},
    ],
)
def test_what_is_not_cached_is_timed(run_dir: RunDir, fields: dict[str, Any]) -> None:
    timing = ask(run_dir, **fields).timing
    assert timing is not None
    for name in timing.__struct_fields__:
        assert 0 < getattr(timing, name) < 10, name
    assert not run_dir.cache.exists(), "a question leaves nothing behind"


def test_steps_are_timed_if_asked_for_though_features_are_cached(run_dir: RunDir) -> None:
    run_here(run_dir)
    found = ask(run_dir, times_steps=True)
    assert (found.missing, found.timing is None) == (0, False)


def test_a_network_without_such_features_is_a_problem(run_dir: RunDir) -> None:
    problem = ask(run_dir, model="test_resnet").problem
    assert problem is not None
    assert "no 3 consecutive blocks of equal width" in problem
