"""Features are counted once for all runs that share them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.protocol import RunSpec, resolve_spec
from engine.protocol.feature_costs import FeatureCost, FeatureCosts, FeatureTiming
from vld_tui.study.features import FeaturesCost, feature_key
from vld_tui.views.study import features_cautions, features_size, features_text

DATA = {"dataset": "emoji", "target": "noto"}
LINEAR = {
    **DATA,
    "tuning": "linear",
    "views": 2,
    "steps": 100,
    "eval_every": 50,
}
TIMING = FeatureTiming(image_s=0.01, start_s=2.0, step_s=0.1, evaluation_s=1.0)
MIB = 2**20


def linear(**fields: Any) -> RunSpec:
    return resolve_spec({**LINEAR, **fields})


@pytest.mark.parametrize(
    ("fields", "are_shared"),
    [
        ({"target": "fluent", "seed": 4, "dropout_rate": 0.5, "views": 6}, True),
        ({"image_size": 64}, False),
        ({"model": "vit_tiny_patch16_224"}, False),
        ({"dataset": "objects-drawn", "target": "emoji"}, False),
        ({"linear_features": "penultimate"}, False),
        ({"linear_start": "authors"}, False),
        ({"weights": "none"}, False),
    ],
)
def test_runs_share_features_whatever_their_split_and_seed(
    fields: dict[str, Any], are_shared: bool
) -> None:
    assert (feature_key(linear(**fields)) == feature_key(linear())) == are_shared


def test_random_networks_of_two_seeds_have_features_of_their_own() -> None:
    first, second = (feature_key(linear(weights="none", seed=seed)) for seed in (0, 1))
    assert first != second


def test_the_last_layer_trained_first_shares_penultimate_features() -> None:
    head = resolve_spec({**DATA, "head_steps": 5, "views": 2})
    assert feature_key(head) == feature_key(linear(linear_features="penultimate"))
    for fields in ({"head_steps": 5}, {"head_steps": 0}, {"tuning": "linear", "views": None}):
        assert feature_key(resolve_spec({**DATA, **fields})) is None


def cost(room: int = 100 * MIB, limit: int = 1000 * MIB, **fields: Any) -> FeaturesCost:
    one = FeatureCost(array_bytes=10 * MIB, arrays=3, missing=2, timing=TIMING)
    answer = FeatureCosts((msgspec.structs.replace(one, **fields),), room, limit)
    key = feature_key(linear())
    assert key is not None
    return FeaturesCost.of({key: 500}, answer, ())


def test_missing_features_take_their_passes_of_the_network() -> None:
    found = cost()
    assert (found.passes, found.wall_s) == (1000, 10.0)
    assert (found.total_bytes, found.missing_bytes) == (30 * MIB, 20 * MIB)
    assert features_text(found) == (
        "30.0 MiB of cached features, 10.0 MiB already computed (room for 100.0 MiB); about 10s to "
        "compute 1,000 images and views, once"
    )
    assert list(features_cautions(found)) == []


def test_a_run_takes_its_start_its_steps_and_its_evaluations() -> None:
    assert cost().run_s(linear(head_steps=10)) == 2 + 110 * 0.1 + 3
    assert cost().run_s(linear(arms=["averaged"], head_steps=0)) == 2 + 100 * 0.1 + 2 * 2
    both = linear(arms=["averaged", "swad"], head_steps=0, swad_converge=2)
    assert cost().run_s(both) == 2 + 100 * 0.1 + 5
    assert cost().run_s(linear(image_size=64)) is None, "features that were not asked about"
    assert cost(timing=None).run_s(linear()) is None


def test_features_that_exist_take_no_time() -> None:
    found = cost(missing=0, timing=None)
    assert (found.passes, found.wall_s, found.fits) == (0, 0, True)
    assert features_size(found) == "30.0 MiB of cached features, already computed"


def test_the_size_of_features_of_images_that_are_not_here_is_unknown() -> None:
    found = FeaturesCost.of({}, FeatureCosts((), 2**30, 2**40), ["PACS"])
    assert features_size(found) == "size of cached features unknown"


def test_features_that_do_not_fit_are_told_with_what_to_do() -> None:
    (line,) = features_cautions(cost(room=5 * MIB))
    assert line == (
        "features need 20.0 MiB, but the disk of the cache has room for 5.0 MiB only: every run "
        "computes them again in memory, or fails. Use fewer --views or another --home (VLD_HOME), "
        "or free space: vld data cache --remove, vld prune"
    )
    (line,) = features_cautions(cost(limit=25 * MIB))
    assert line.startswith(
        "features take 30.0 MiB, more than the cache may use of its disk (25.0 MiB): those unused "
        "for a day can be removed before all runs are done. Use fewer --views"
    )
