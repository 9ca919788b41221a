"""Two runs are the same when all that decides their result is."""

from __future__ import annotations

import pytest

from engine.protocol import (
    ARMS,
    FIELDS,
    OBJECTIVES,
    Combination,
    CombinationError,
    CombinationSpec,
    LastLayer,
    Parent,
    RunSpec,
    SpecError,
    configuration_identity,
    decode_combination,
    decode_spec,
    encode_combination,
    resolve_spec,
    run_identity,
    spec_from_mapping,
)
from engine.protocol.identity import CONDITIONAL, NOT_RESULT

PARENTS = (Parent("a", "/a.safetensors"), Parent("b", "/b.safetensors"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("threads", 2), ("device", "cpu"), ("log_every", 3), ("keep_checkpoints", "none")],
)
def test_where_and_how_a_run_is_computed_does_not_tell_it_apart(field: str, value: object) -> None:
    assert run_identity(spec_from_mapping({field: value})) == run_identity(RunSpec())


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 0.5), ("arms", ["averaged"]), ("target", "x"), ("objective", "groupdro")],
)
def test_what_decides_the_result_does(field: str, value: object) -> None:
    other = spec_from_mapping({field: value})
    assert run_identity(other) != run_identity(RunSpec())
    assert configuration_identity(other) != configuration_identity(RunSpec())


def test_that_no_domain_is_left_out_need_not_be_said() -> None:
    said, unsaid = (resolve_spec({"data_dir": "/d", "target": each}) for each in ("none", None))
    assert run_identity(said) == run_identity(unsaid)
    assert run_identity(said) != run_identity(resolve_spec({"data_dir": "/d", "target": "a"}))


def test_seeds_are_of_one_configuration() -> None:
    first, second = resolve_spec({"seed": 1}), resolve_spec({"seed": 2, "trial_seed": 3})
    assert run_identity(first) != run_identity(second)
    assert configuration_identity(first) == configuration_identity(second)


ENSEMBLE = {"arms": ["ensemble"], "steps": 300, "eval_every": 50}

OLDER_PAPER = {
    "recipe": "paper", "trial_seed": None, "precision": "auto", "lr_drops": [5_000],
    "average_from": 300, "eval_from": None, "augment_validation": False,
}  # fmt: skip
"""What ``--recipe paper`` meant when runs of older homes were made."""


@pytest.mark.parametrize(
    ("values", "identity"),
    [
        ({}, "145c9d6014d29ad2"),
        ({"seed": 3, "dropout_rate": 0.5, "eval_every": 20}, "0d8bf57976916983"),
        (OLDER_PAPER, "8d94daba8f5c9c0c"),
        ({**OLDER_PAPER, "dataset": "PACS", "target": "sketch", "seed": 1, "lr": 5e-4},
         "7e129c1ff8773f1b"),
        ({"arms": ["ensemble"], "average_from": 50}, "023c25c80ad56532"),
    ],
)  # fmt: skip
def test_runs_of_older_homes_keep_their_identities(
    values: dict[str, object], identity: str
) -> None:
    assert run_identity(resolve_spec({"dataset": "emoji", **values})) == identity


def test_a_spec_stored_without_a_data_set_is_of_the_emoji_although_new_runs_are_not() -> None:
    assert decode_spec(b"{}").dataset == "emoji"
    assert run_identity(resolve_spec({})) != run_identity(resolve_spec({"dataset": "emoji"}))


def test_the_paper_recipe_has_an_identity_of_its_own() -> None:
    assert run_identity(resolve_spec({"dataset": "emoji", "recipe": "paper"})) == "4e72a5afaee77c75"


def test_a_recipe_s_name_is_only_a_name() -> None:
    paper = resolve_spec({"recipe": "paper"})
    told = {name: getattr(paper, name) for name in FIELDS if name != "recipe"}
    assert run_identity(resolve_spec(told)) == run_identity(paper)
    assert paper.arms == ("averaged", "ensemble")


def test_every_undeciding_field_is_a_field() -> None:
    assert FIELDS.keys() >= NOT_RESULT | CONDITIONAL.keys()
    assert not NOT_RESULT & CONDITIONAL.keys()


@pytest.mark.parametrize(
    ("values", "other"),
    [
        ({"seed": 4}, {"seed": 4, "trial_seed": 4}),
        ({"eval_every": 7}, {"eval_every": 7, "eval_from": 7}),
        ({"arms": ["averaged", "ensemble"]}, {"arms": ["ensemble", "averaged"]}),
        ({}, {"average_from": 300, "average_every": 7, "average_batchnorm": "reestimate"}),
        ({}, {"eval_batch_size": 8}),
        ({}, {"micro_batch_size": 4}),
        ({"objective": "vrex"}, {"objective": "vrex", "vrex_anneal_steps": 30}),
        (
            {"objective": "vrex", "vrex_weight": 1},
            {"objective": "vrex", "vrex_weight": 1, "vrex_anneal_steps": 7},
        ),
        ({}, {"gpus": 2, "nodes": 2}),
        ({"arms": ["averaged"]}, {"arms": ["averaged"], "eval_batch_size": 8}),
        ({"schedule": "cosine"}, {"schedule": "cosine", "lr_drops": [5]}),
        ({}, {"weights_key": "teacher"}),
        ({}, {"outlier_batch_size": 5}),
        (
            {"outliers": "/others", "batch_size": 9},
            {"outliers": "/others", "batch_size": 9, "outlier_batch_size": 9},
        ),
        ({}, {"linear_start": "authors"}),
        ({"tuning": "linear"}, {"tuning": "linear", "linear_start": "ones"}),
        (ENSEMBLE, {**ENSEMBLE, "average_from": 50}),
        ({**ENSEMBLE, "average_from": 51}, {**ENSEMBLE, "average_from": 100}),
        (
            {**ENSEMBLE, "average_from": 99, "eval_from": 1},
            {**ENSEMBLE, "average_from": 101, "eval_from": 1},
        ),
        (
            {**ENSEMBLE, "steps": 310, "average_from": 301},
            {**ENSEMBLE, "steps": 310, "average_from": 310},
        ),
    ],
)
def test_what_decides_nothing_of_a_run_does_not_tell_it_apart(
    values: dict[str, object], other: dict[str, object]
) -> None:
    one, two = spec_from_mapping(values), spec_from_mapping(other)
    assert run_identity(one) == run_identity(two)
    assert configuration_identity(one) == configuration_identity(two)


REESTIMATED = {"arms": ["averaged"], "average_batchnorm": "reestimate"}


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ({"seed": 4}, "trial_seed", 0),
        ({"eval_every": 7}, "eval_from", 1),
        ({"arms": ["averaged"]}, "average_every", 7),
        (REESTIMATED, "eval_batch_size", 8),
        ({"schedule": "step", "lr_drops": [5]}, "lr_drops", [6]),
        ({"weights": "/w.pth"}, "weights_key", "teacher"),
        ({}, "outliers", "/others"),
        ({"outliers": "/others"}, "outlier_batch_size", 5),
        ({"tuning": "linear"}, "linear_start", "authors"),
        ({"masks": "inf"}, "mask_draws", 32),
        ({}, "mask_basis", "pca"),
        ({}, "mask_at", "layer3"),
        ({"mask_basis": "pca"}, "mask_basis_every", 50),
        ({}, "dropout_schedule", "linear"),
        ({"objective": "vrex"}, "vrex_anneal_steps", 0),
        ({"dropout_schedule": "linear"}, "dropout_start", 0.4),
        ({"dropout_schedule": "linear"}, "dropout_steps", 149),
        ({}, "augment_validation", True),
        (ENSEMBLE, "average_from", 51),
        ({**ENSEMBLE, "average_from": 100}, "average_from", 101),
        ({"arms": ["averaged", "ensemble"]}, "average_from", 50),
    ],
)
def test_where_it_decides_something_it_does(
    values: dict[str, object], field: str, value: object
) -> None:
    other = spec_from_mapping({**values, field: value})
    assert run_identity(other) != run_identity(spec_from_mapping(values))


LINEAR = {"dropout_schedule": "linear"}


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({**LINEAR, "dropout_steps": 150}, LINEAR),  # half of 300
        ({**LINEAR, "dropout_rate": 0}, {"dropout_rate": 0}),
        ({**LINEAR, "dropout_rate": 0.5, "dropout_start": 0.5}, {"dropout_rate": 0.5}),
        ({"dropout_start": 0.1, "dropout_steps": 9}, {}),
    ],
)
def test_a_schedule_without_effect_is_a_constant_dropout_rate(
    values: dict[str, object], same: dict[str, object]
) -> None:
    assert run_identity(spec_from_mapping(values)) == run_identity(spec_from_mapping(same))


def test_a_combination_is_another_run_and_survives_its_file() -> None:
    soup = Combination(method="soup", parents=PARENTS)
    assert run_identity(CombinationSpec(RunSpec(), soup)) != run_identity(RunSpec())
    assert decode_combination(encode_combination(soup)) == soup


def interpolation_from(last_layer: LastLayer | None) -> Combination:
    parents = (Parent("", None, last_layer), PARENTS[1])
    return Combination(method="interpolation", parents=parents)


def from_layer(last_layer: LastLayer) -> CombinationSpec:
    return CombinationSpec(RunSpec(), interpolation_from(last_layer))


def test_an_interpolation_says_which_pretrained_network_it_starts_from() -> None:
    for last_layer in ("start_of_run", "linear_probe"):
        combination = interpolation_from(last_layer)
        assert f'"last_layer": "{last_layer}"'.encode() in encode_combination(combination)
        read = decode_combination(encode_combination(combination))
        assert (read, read.starts_at) == (combination, last_layer)
    assert Combination(method="interpolation", parents=PARENTS).starts_at is None


def test_an_interpolation_of_an_earlier_version_starts_from_a_linear_probe() -> None:
    told = (
        b'{"method": "interpolation", "parents": [{"run_id": "", "file": null}, '
        b'{"run_id": "b", "file": "/b.safetensors"}], "points": 11}'
    )
    earlier = decode_combination(told)
    assert earlier.starts_at == "linear_probe"
    assert run_identity(CombinationSpec(RunSpec(), earlier)) == "6a86bb37c1824d1f"
    assert run_identity(from_layer("linear_probe")) == "6a86bb37c1824d1f"
    assert run_identity(from_layer("start_of_run")) != "6a86bb37c1824d1f"
    soup = Combination(method="soup", parents=PARENTS)
    assert run_identity(CombinationSpec(RunSpec(), soup)) == "063ca4e53484bc37"


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"method": "soup"}', b'{"method": "soup", "parents": []}',
     b'{"method": "soup", "parents": [{"run_id": "a", "file": "/a", "last_layer": "x"}]}',
     b'{"method": "stew", "parents": [{"run_id": "a", "file": null}]}', b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_combination_is_refused(data: bytes) -> None:
    with pytest.raises(CombinationError, match="Invalid combination"):
        decode_combination(data)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"arms": ["avraged"]}, f"any of {', '.join(ARMS)}. Did you mean averaged?"),
        (
            {"objective": "groupdor"},
            f"one of {', '.join(OBJECTIVES)}, or several joined by +. Did you mean groupdro?",
        ),
        ({"tuning": "lin"}, "one of full, linear"),
    ],
)
def test_a_word_that_is_not_known_is_answered_with_the_nearest(
    values: dict[str, object], words: str
) -> None:
    with pytest.raises(SpecError) as error:
        spec_from_mapping(values)
    assert words in str(error.value)


def test_a_spec_of_before_there_were_arms_is_read() -> None:
    assert decode_spec(b'{"dropout_rate": 0.5}') == RunSpec(dropout_rate=0.5)
