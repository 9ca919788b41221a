"""Which settings of a run have an effect in it."""

from __future__ import annotations

import msgspec
import pytest

from engine.protocol import FIELDS, RunSpec, resolve_spec
from engine.protocol.effects import has_effect, without_effect


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("masks", {"dropout_rate": 0.5}),
        ("mask_draws", {"dropout_rate": 0.5, "masks": "inf"}),
        ("mask_basis_every", {"dropout_rate": 0.5, "mask_basis": "pca"}),
        ("teacher", {"objective": "erm+confreg"}),
        ("linear_start", {"tuning": "linear", "linear_features": "blocks"}),
        ("outlier_batch_size", {"outliers": "emoji"}),
        ("average_from", {"arms": ("ensemble",)}),
        ("views", {"head_steps": 10}),
        ("weights_key", {"weights": "net.pth"}),
        ("lr_drops", {"schedule": "step"}),
    ],
)
def test_a_field_has_an_effect_once_every_condition_is_met(
    name: str, values: dict[str, object]
) -> None:
    without = RunSpec(dropout_rate=0.0)
    assert not has_effect(without, name)
    assert has_effect(msgspec.structs.replace(without, **values), name)


def test_a_field_that_others_make_possible_has_an_effect_before_they_are_set() -> None:
    low = RunSpec(dropout_rate=0.3, dropout_schedule="linear", dropout_start=0.5)
    assert "dropout_schedule" in without_effect(low, FIELDS)
    assert has_effect(low, "dropout_schedule"), "with a lower start it has one"
    assert not has_effect(msgspec.structs.replace(low, dropout_rate=0.0), "dropout_schedule")


def test_what_decides_a_default_run_has_an_effect_in_it() -> None:
    spec = resolve_spec({})
    idle = {name for name in FIELDS if not has_effect(spec, name)}
    assert {"vrex_weight", "teacher", "linear_features", "swad_ratio"} <= idle
    assert not idle.intersection(("objective", "dropout_schedule", "mask_at", "views", "masks"))
