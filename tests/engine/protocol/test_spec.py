import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol import (
    FIELDS,
    RECIPES,
    SpecError,
    decode_spec,
    encode_spec,
    resolve_new_spec,
    resolve_spec,
    spec_from_mapping,
)


def test_a_bare_run_is_the_embedded_default() -> None:
    spec = resolve_spec({})
    assert (spec.dataset, spec.target, spec.image_size) == ("objects-drawn", "clipart", 96)
    assert (spec.model, spec.weights) == ("tf_efficientnet_lite0", "pretrained")
    assert spec.dropout_rate == 0.9


def test_what_the_user_says_wins_over_recipe_and_data_set() -> None:
    spec = resolve_spec({"recipe": "paper", "lr": 5e-4, "image_size": 64, "target": "noto"})
    assert (spec.lr, spec.image_size, spec.target) == (5e-4, 64, "noto")
    assert spec.steps == RECIPES["paper"]["steps"]


def test_the_recipe_wins_over_the_data_set() -> None:
    assert resolve_spec({"recipe": "paper"}).image_size == 224


def test_a_step_schedule_needs_steps() -> None:
    with pytest.raises(SpecError, match="lr_drops is empty. Give --lr-drops, such as 50"):
        resolve_spec({"schedule": "step", "steps": 100})
    assert resolve_spec({"schedule": "step", "lr_drops": [50]}).lr_drops == (50,)


def test_statistics_of_the_whole_batch_cannot_be_had_in_parts() -> None:
    with pytest.raises(SpecError, match="micro_batch_size is 4, but freeze_batchnorm is false"):
        resolve_spec({"micro_batch_size": 4, "freeze_batchnorm": False})
    assert resolve_spec({"micro_batch_size": 4}).micro_batch_size == 4


def test_a_folder_names_the_data_set_and_has_no_default_target() -> None:
    spec = resolve_spec({"data_dir": "/somewhere/wildlife/"})
    assert spec.dataset == "wildlife"
    assert spec.target is None
    assert resolve_spec({"data_dir": "/a/b", "dataset": "mine"}).dataset == "mine"


@pytest.mark.parametrize(
    ("values", "target", "image_size"),
    [
        ({"dataset": "emoji"}, "fluent-mono", 96),
        ({"dataset": "objects-drawn"}, "clipart", 96),
        ({"dataset": "objects"}, None, 96),
        ({"dataset": "objects", "data_dir": "/home/datasets/objects"}, None, 96),
        ({"data_dir": "/mine/emoji"}, None, 224),
        ({"data_dir": "/mine/objects-drawn"}, None, 224),
        ({"dataset": "PACS"}, None, 224),
    ],
)
def test_a_known_data_set_has_defaults_and_a_folder_named_as_an_embedded_one_has_not(
    values: dict[str, object], target: str | None, image_size: int
) -> None:
    spec = resolve_spec(values)
    assert (spec.target, spec.image_size) == (target, image_size)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("dropout_rate", 1.0, "from 0 to below 1"),
        ("dropout_rate", -0.1, "from 0 to below 1"),
        ("dropout_rate", float("nan"), "from 0 to below 1"),
        ("masks", 0, "a whole number from 1 to 1024"),
        ("masks", 1.5, "a whole number"),
        ("masks", "infinite", "from 1 to 1024, or inf"),
        ("seed", 2**31, "from 0 to 2147483647"),
        ("lr", 0, "above 0"),
        ("lr", "fast", "a number"),
        ("grad_clip", -1, "above 0, or none"),
        ("lr_drops", 5, "a list of whole numbers"),
        ("freeze_batchnorm", "yes", "true or false"),
        ("steps", True, "a whole number"),
    ],
)
def test_a_value_out_of_range_names_field_value_and_range(
    field: str, value: object, allowed: str
) -> None:
    with pytest.raises(SpecError) as caught:
        resolve_spec({field: value})
    message = str(caught.value)
    assert field in message
    assert repr(value) in message
    assert allowed in message


NUMBERS = [name for name, info in FIELDS.items() if "number" in info.allowed]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_no_field_takes_what_is_not_finite(name: str, value: float) -> None:
    for said in (value, [value]):
        if FIELDS[name].word == str(said):
            continue
        with pytest.raises(SpecError, match=f"{name} is .*(inf|nan).* must be a"):
            FIELDS[name].check(said)
        with pytest.raises(SpecError, match=name):
            spec_from_mapping({name: said})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [10**18, 10**30, 10**400, 16**5_000, 1e300, True, "5"], ids=type)
def test_no_field_takes_an_absurd_number_or_one_of_another_type(name: str, value: object) -> None:
    for said in (value, [value]):
        with pytest.raises(SpecError, match=f"{name} is ") as caught:
            FIELDS[name].check(said)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lr", float("inf"), "lr is inf, but must be a finite number above 0."),
        ("lr", 1e30, "lr is 1e+30, but must be at most 1,000."),
        ("steps", 10**20, "steps is 100000000000000000000, but must be at most 1,000,000,000."),
        ("grad_clip", float("inf"), "but must be a finite number above 0, or none."),
        ("lr_drops", [5, 10**12], "lr_drops is '5,1000000000000', but must be at most"),
        ("views", 10_001, "views is 10001, but must be at most 1,000."),
    ],
)
def test_the_refusal_of_a_number_says_what_is_allowed(name: str, value: object, words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)) as caught:
        FIELDS[name].check(value)
    assert "nothing to train on" not in str(caught.value)  # the hint for too small numbers


@pytest.mark.parametrize("written", ["inf", float("inf")], ids=["text", "infinity of TOML"])
def test_a_number_may_be_a_word_and_is_stored_as_it(written: object) -> None:
    spec = resolve_spec({"masks": written})

    assert spec.masks == "inf"
    assert decode_spec(encode_spec(spec)) == spec
    assert decode_spec(b'{"masks": 4}').masks == 4


def test_a_spec_file_with_a_number_beyond_all_floats_is_damaged() -> None:
    with pytest.raises(SpecError, match="out of range"):
        decode_spec(b'{"lr": 1e400}')


def test_an_unknown_key_or_choice_names_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"'droput_rate'. Did you mean dropout_rate\?"):
        resolve_spec({"droput_rate": 0.5})
    with pytest.raises(SpecError, match="one of auto, fp32, bf16, fp16. Did you mean bf16"):
        resolve_spec({"precision": "bf61"})
    with pytest.raises(SpecError, match=r"recipe is 'papr'.*Did you mean paper\?"):
        resolve_spec({"recipe": "papr"})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"lr": null}', b'{"speed": 9}', b"\xff"])
def test_a_damaged_spec_is_an_error(content: bytes) -> None:
    with pytest.raises(SpecError):
        decode_spec(content)


def test_json_and_back() -> None:
    for recipe in RECIPES:
        spec = resolve_spec({"recipe": recipe, "lr_drops": [3, 7], "threads": 2})
        assert decode_spec(encode_spec(spec)) == spec


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.none() | st.integers() | st.floats()))
def test_any_values_make_a_spec_or_an_error_of_ours(values: dict[str, object]) -> None:
    try:
        spec = spec_from_mapping(values)
    except SpecError:
        return
    assert decode_spec(encode_spec(spec)) == spec


def test_every_field_has_one_line_of_help_and_a_flag() -> None:
    for info in FIELDS.values():
        assert info.help.endswith(".")
        assert "\n" not in info.help
        assert re.fullmatch(r"--[a-z][a-z-]*", info.flag)
    assert len({info.flag for info in FIELDS.values()}) == len(FIELDS)


@pytest.mark.parametrize("weights", ["pretrained", "none"])
def test_a_key_needs_a_file(weights: str) -> None:
    with pytest.raises(SpecError, match="weights_key is 'teacher', but weights is .*not a file"):
        resolve_new_spec({"weights": weights, "weights_key": "teacher"})
    assert resolve_spec({"weights": "w.pth", "weights_key": "teacher"}).weights_file == "w.pth"


@pytest.mark.parametrize("weights", ["https://host/net.pth", "hf-hub:timm/resnet18.a1_in1k"])
def test_weights_at_an_address_are_to_be_downloaded_first(weights: str) -> None:
    with pytest.raises(
        SpecError, match=r"must not be a URL. Download the file, then give --weights"
    ):
        resolve_spec({"weights": weights})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"masks": 8}, "mask_at is 'layer3', but masks is 8: each mask inside .* Give --masks 1"),
        ({"masks": "inf"}, "mask_at is 'layer3', but masks is inf"),
        ({"mask_basis": "pca"}, "but mask_basis is 'pca': only the penultimate features have"),
        ({"tuning": "linear"}, "but tuning is 'linear', which does not train the blocks"),
    ],
)
def test_masks_inside_the_network_are_refused_where_they_have_no_meaning(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        resolve_spec({"mask_at": "layer3", **values})


def test_there_is_one_mask_inside_the_network_unless_more_are_asked_for() -> None:
    assert resolve_spec({"mask_at": "layer3"}).masks == 1
    assert resolve_spec({"mask-at": "last"}).masks == RECIPES["default"]["masks"]
