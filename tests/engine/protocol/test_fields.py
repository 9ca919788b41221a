"""What a setting is, is declared once: the lists of settings are queries over that."""

import msgspec
import pytest

from engine.protocol import FIELDS, RunSpec, fields_with, run_identity
from engine.protocol.fields import about, fields_of
from engine.protocol.spec import applies


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown roles: resutl"):
        about("Anything.", roles="resutl")


def test_every_condition_names_a_field_and_a_value_of_it() -> None:
    conditions = [info.only_with for info in FIELDS.values() if info.only_with is not None]

    assert conditions
    for field, value in conditions:
        assert value in (*FIELDS[field].choices, FIELDS[field].word)


def test_a_field_decides_nothing_of_a_run_that_it_does_not_apply_to() -> None:
    usual = RunSpec()
    other = msgspec.structs.replace(usual, average_every=7)
    averaged = msgspec.structs.replace(usual, arms=("averaged",))

    assert not applies(other, "average_every")
    assert run_identity(other) == run_identity(usual)
    assert run_identity(averaged) != run_identity(
        msgspec.structs.replace(averaged, average_every=7)
    )


@pytest.mark.parametrize("name", fields_with("not_result"))
def test_where_a_run_is_computed_is_no_part_of_its_identity(name: str) -> None:
    info, usual = FIELDS[name], RunSpec()
    others = {"device": "cuda", "recipe": "paper"} | dict.fromkeys(
        ("threads", "micro_batch_size"), 1
    )
    value = others.get(name) or (info.choices[-1] if info.choices else info.default + 1)
    value = (value,) if info.base is tuple else value

    changed = msgspec.structs.replace(usual, **{name: value})

    assert getattr(changed, name) != getattr(usual, name)
    assert run_identity(changed) == run_identity(usual)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("none", "micro_batch_size", None),
        ("none", "target", "none"),
        ("4", "masks", 4),
        ("four", "masks", "four"),
        ("inf", "masks", "inf"),
        ("yes", "freeze_batchnorm", True),
        ("5,9", "lr_drops", (5, 9)),
        ("averaged, ensemble", "arms", ("averaged", "ensemble")),
        ("none", "arms", ()),
    ],
)
def test_a_text_is_read_as_its_field(text: str, name: str, value: object) -> None:
    assert FIELDS[name].read_text(text) == value


def test_every_struct_declares_its_fields_in_the_same_way() -> None:
    infos = fields_of(RunSpec)

    assert list(infos) == list(RunSpec.__struct_fields__)
    assert infos["dropout_rate"].label == "dropout"
    assert infos["freeze_batchnorm"].off_flag == "--no-freeze-batchnorm"


def test_an_objectives_own_setting_counts_for_its_runs_only() -> None:
    erm, groupdro = RunSpec(), RunSpec(objective="groupdro")

    def with_steps_of(spec: RunSpec, size: float) -> str:
        return run_identity(msgspec.structs.replace(spec, groupdro_step_size=size))

    assert with_steps_of(erm, 0.1) == run_identity(erm)
    assert with_steps_of(groupdro, 0.1) != run_identity(groupdro)
    assert with_steps_of(groupdro, 0.01) == run_identity(groupdro)


@pytest.mark.parametrize("name", ["objective", "arms"])
def test_settings_of_methods_are_in_the_order_of_the_methods(name: str) -> None:
    needed = [info.only_with[1] for info in FIELDS.values()
              if info.only_with is not None and info.only_with[0] == name]  # fmt: skip
    assert needed == sorted(needed, key=FIELDS[name].choices.index)
