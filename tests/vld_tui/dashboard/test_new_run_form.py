"""The form that makes runs."""

from __future__ import annotations

import msgspec
import pytest
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from textual.widgets import Input

from engine.protocol import FIELDS, resolve_spec
from engine.protocol.datasets import DatasetListing, DomainListing
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from tests.vld_tui.dashboard.fake_planner import FakePlanner
from tests.vld_tui.dashboard.new_run_form import Form, use_form
from vld_tui.dashboard.app import Dashboard
from vld_tui.store.labels import name_of_copy
from vld_tui.study.forecast import Forecast
from vld_tui.study.planner import Network


def test_every_field_is_there_and_the_line_to_type_is_told() -> None:
    async def use(form: Form) -> None:
        assert form.verdict == "vld run"
        await form.unfold()
        assert {field.id for field in form.app.screen.query(Input)} == {*FIELDS, "name", "tags"}
        await form.fill(dropout_rate="0.5", freeze_batchnorm="no")
        assert form.verdict == "vld run --dropout 0.5 --no-freeze-batchnorm"
        await form.fill(freeze_batchnorm="", dropout_rate="0.9")
        assert form.verdict == "vld run"

    use_form(use)


def test_a_bad_value_is_told_as_on_the_command_line_and_not_launched() -> None:
    said = "--dropout is 1.0, but must be a number from 0 to below 1."

    async def use(form: Form) -> None:
        await form.fill(dropout_rate="1.0")
        assert form.verdict == said
        assert "--dropout is 1.0, but must be a number" in form.line("  1.0"), "beside the field"
        await form.press("ctrl+r", "ctrl+l")
        assert form.verdict == said
        await form.press("escape")

    assert use_form(use).done == []


def test_several_seeds_make_several_runs() -> None:
    async def use(form: Form) -> None:
        await form.fill(target="lineart", seed="3, 4")
        assert form.verdict == "2 runs such as  vld run --target lineart --seed 3"
        assert "2 runs: 1 now, 1 queued" in form.line("• seed")
        await form.press("ctrl+r")

    specs = [resolve_spec({"target": "lineart", "seed": seed}) for seed in (3, 4)]
    assert use_form(use).done == [("start", *specs)]


def test_a_clone_starts_from_the_run_under_the_cursor() -> None:
    step = {"schedule": "step", "lr_drops": (5, 7)}
    spec = resolve_spec({"target": "lineart", "lr": 1e-4, **step, "seed": 9})

    async def use(form: Form) -> None:
        assert "lr 0.0001 · schedule step · lr-drops 5,7" in form.line("optimization"), (
            "changed, though folded"
        )
        await form.unfold()
        assert form.text("lr") == "0.0001"
        await form.press("ctrl+l")

    assert use_form(use, like=spec).done == [("queue", spec, "run 0-2")]


def test_a_clone_without_a_change_is_reported() -> None:
    async def use(form: Form) -> None:
        assert "! Same settings and seed as run 0" in form.verdict
        await form.fill(seed="7,8")
        assert "Same settings" not in form.verdict

    use_form(use, like=resolve_spec({"target": "lineart", "seed": 9}))


def test_a_run_is_named_and_tagged_in_the_form() -> None:
    async def use(form: Form) -> None:
        assert form.text("name") == "clipart-d0.9-m8-s0", "the generated name"
        await form.fill(name="a/b", tags="best, later")
        assert "must not contain '/'" in form.verdict
        await form.press("ctrl+l")
        await form.fill(name="try", seed="0,1")
        assert "try-s0 … try-s1" in form.line(" name ")
        assert form.verdict.endswith("--name try-s0 --tag best --tag later")
        await form.press("ctrl+l")

    done = use_form(use, like=None).done
    assert [each[3:] for each in done] == [("try-s0", "try-s1", "best", "later")]


def test_a_clone_says_of_which_run_and_of_a_generated_name_none_is_proposed() -> None:
    spec = resolve_spec({"target": "lineart"})
    run = make_run(0, name="lineart-d0.9-m8-s0", spec=spec, has_namesake=True)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("c")
        await settle(pilot)
        assert f"Clone of lineart-d0.9-m8-s0 #{run.run_id[-4:]}" in "\n".join(screen_lines(app))
        await pilot.press("ctrl+l")
        await settle(pilot)

    actions = FakeActions()
    play(FakeSource([run]), scenario, actions=actions)
    assert actions.done == [("queue", spec)]


@pytest.mark.parametrize(
    ("name", "copy"),
    [("best", "best-2"), ("best-2", "best-3"), ("x" * 100, "x" * 98 + "-2")],
)
def test_a_copy_gets_the_next_number(name: str, copy: str) -> None:
    assert name_of_copy(name) == copy


def test_a_recipe_shows_its_values_where_nothing_was_typed() -> None:
    async def use(form: Form) -> None:
        await form.fill(masks="4", recipe="paper")
        assert (form.text("steps"), form.text("masks")) == ("10001", "4")
        assert form.text("model") == "resnet50.tv2_in1k"
        assert "8 fields at defaults" in form.line("optimization")
        await form.unfold()
        assert form.text("lr_drops") == "5000,10000", "known before anybody looked"
        await form.fill(recipe="default")
        assert (form.text("steps"), form.text("masks")) == ("200", "4")
        assert form.text("lr_drops") == "none"

    use_form(use)


def test_a_problem_in_a_folded_group_is_told_by_its_title() -> None:
    async def use(form: Form) -> None:
        assert "schedule is 'step', but lr_drops is empty" in form.line("▸ optimization")
        await form.press("ctrl+r")

    bad = msgspec.structs.replace(resolve_spec({}), schedule="step")
    assert use_form(use, like=bad).done == []


def test_images_that_are_not_here_cannot_be_launched() -> None:
    async def use(form: Form) -> None:
        await form.fill(dataset="PACS", target="photo")
        await form.wait()
        assert form.verdict == "PACS is not on this machine."
        await form.press("ctrl+r")
        await form.fill(dataset="objects-drawn", target="")
        await form.wait()
        assert form.verdict == "vld run"
        await form.fill(target="nope")
        await form.wait()
        assert form.verdict == (
            "objects-drawn has no domain 'nope'. Choose a --target: clipart, emoji, lineart; "
            "none trains on all domains."
        )
        await form.press("ctrl+r", "escape")

    assert use_form(use).done == []


def test_weights_that_are_not_here_are_warned_of_but_can_be_launched() -> None:
    planner = FakePlanner()
    planner.found += (Network("vit.one", "hub"), Network("vit.two", "cached"))

    async def use(form: Form) -> None:
        await form.unfold()
        await form.fill(model="resnet50.tv2_in1k")
        warning, command = form.verdict.splitlines()
        assert warning.startswith(
            "! The weights of resnet50.tv2_in1k are not on this machine: they will be downloaded. "
            "Offline, the run fails"
        )
        assert command == "vld run --model resnet50.tv2_in1k"
        await form.fill(model="resnet50")
        assert "The weights of resnet50 are not" in form.verdict, "whichever timm chooses"
        await form.fill(model="vit")
        assert form.verdict == "vld run --model vit", "it may choose those that are here"
        await form.fill(model="vit_tiny")
        assert form.verdict.startswith("! vit_tiny has no weights: the run fails")
        await form.fill(weights="none")
        assert form.verdict == "vld run --model vit_tiny --weights none"
        await form.fill(model="resnet50.tv2_in1k", weights="")
        await form.press("ctrl+r")

    done = use_form(use, planner=planner).done
    assert done == [("start", resolve_spec({"model": "resnet50.tv2_in1k"}))]


def test_a_folder_of_images_says_what_it_holds() -> None:
    planner = FakePlanner()
    planner.folders["/my/images"] = DatasetListing(
        "images",
        (DomainListing("a", 10), DomainListing("b", 20)),
        ("one", "two"),
        "/my/images",
        complete=True,
    )

    async def use(form: Form) -> None:
        await form.unfold("data")
        await form.fill(data_dir="/my/images", target="b")
        await form.wait()
        assert form.text("dataset") == "images"
        assert "30 images · 2 classes · 2 domains" in form.line("  dataset")
        assert "20 images left out · sources a" in form.line("• target")
        await form.fill(data_dir="/nowhere")
        await form.wait()
        assert form.verdict == "/nowhere is not a folder."

    use_form(use, planner=planner, size=(120, 44))


def test_images_of_one_domain_need_no_target() -> None:
    planner = FakePlanner()
    domains = (DomainListing("all", 30),)
    planner.folders["/photos"] = DatasetListing(
        "photos", domains, ("a", "b"), "/photos", complete=True
    )

    async def use(form: Form) -> None:
        await form.unfold("data")
        await form.fill(data_dir="/photos")
        await form.wait()
        assert form.text("target") == ""
        assert "no OOD accuracy · sources all" in form.line("  target")
        await form.fill(target="all")
        await form.wait()
        assert "photos has only one domain, all, so 'all' cannot be left out" in form.verdict
        await form.fill(target="")
        await form.wait()
        await form.press("ctrl+l")

    spec = resolve_spec({"data_dir": "/photos"})
    assert use_form(use, planner=planner, size=(160, 50)).done == [("queue", spec)]


def test_a_clone_of_a_run_without_a_target_has_none() -> None:
    spec = resolve_spec({"data_dir": "/photos", "target": "none"})

    async def use(form: Form) -> None:
        await form.unfold("data")
        assert form.text("target") == "none"
        await form.press("ctrl+l")

    planner = FakePlanner()
    planner.folders["/photos"] = DatasetListing(
        "photos", (DomainListing("all", 30),), ("a", "b"), "/photos", complete=True
    )
    assert use_form(use, like=spec, planner=planner).done == [("queue", spec, "run 0-2")]


def test_the_forecast_says_what_it_rests_on() -> None:
    planner = FakePlanner()
    run = make_run(0, name="an earlier run")
    planner.answer = Forecast(154, run, (), 2**30, 3 * 2**20, run)

    async def use(form: Form) -> None:
        await form.fill(seed="0,1")
        await form.wait()
        assert form.forecast == (
            "about 2m 34s each, 5m 08s for 2 · 1.0 GiB of memory · 3.0 MiB of checkpoints each"
            "  from an earlier run on this machine, same network and image size"
        )
        await form.fill(seed="x")
        assert form.forecast == ""
        planner.answer = Forecast()
        await form.fill(seed="", dropout_rate="0")
        await form.wait()
        assert form.forecast.startswith(
            "time, memory and disk unknown: no earlier run with this network"
        )
        assert form.forecast.endswith("on this device")

    use_form(use, planner=planner)
    assert planner.asked[-1] == resolve_spec({"dropout_rate": 0.0})


def test_the_command_is_copied_for_every_seed() -> None:
    async def use(form: Form) -> None:
        await form.fill(target="it's", seed="0,1")
        await form.press("ctrl+y")
        assert form.app.clipboard == (
            "vld run --target 'it'\"'\"'s' --seed 0\nvld run --target 'it'\"'\"'s' --seed 1"
        )
        await form.fill(target="", model="a\x1b[2Jb", seed="5")
        assert form.verdict == "vld run --model 'a␛[2Jb' --seed 5"
        await form.press("ctrl+y")
        assert "--seed 0" in form.app.clipboard, "nothing a shell would stumble over"

    use_form(use)


def test_arrows_walk_from_line_to_line_and_unfold_groups() -> None:
    async def use(form: Form) -> None:
        await form.press("down")
        assert form.focused == "masks"
        await form.press("enter")
        assert form.focused == "recipe"
        await form.press("down", "down", "down", "down", "down", "enter", "down")
        assert form.focused == "data_dir"
        await form.press("up", "left", "down", "right", "down")
        assert form.focused == "weights"

    use_form(use)


def test_fields_are_shown_once_they_have_an_effect() -> None:
    async def use(form: Form) -> None:
        assert "fields at defaults: tuning views objective class-weights" in form.line("▸ method")
        await form.unfold("method")
        assert "hidden: 16 fields without effect" in form.line("▾ method")
        of_vrex, of_masks = {"vrex_weight", "vrex_anneal_steps"}, {"mask_basis", "mask_at"}
        assert not of_vrex & form.shown
        assert of_masks | {"objective", "dropout_schedule"} <= form.shown
        await form.fill(steps="many", objective="vrex")
        assert of_vrex <= form.shown, "whatever is wrong elsewhere"
        await form.fill(steps="", objective="coral+vrex", vrex_weight="3")
        assert of_vrex | {"coral_weight"} <= form.shown
        await form.fill(objective="")
        assert of_vrex & form.shown == {"vrex_weight"}, "a typed value stays"
        assert form.text("vrex_weight") == "3"
        assert form.verdict.startswith("vrex_weight is 3, but objective is 'erm'.")
        await form.fill(vrex_weight="", dropout_rate="0")
        assert not (of_vrex | of_masks | {"masks"}) & form.shown
        await form.fill(dropout_rate="0.3")
        assert of_masks | {"masks", "dropout_schedule"} <= form.shown

    use_form(use)


def test_the_line_with_the_cursor_stays_until_it_is_left() -> None:
    async def use(form: Form) -> None:
        await form.unfold("method")
        await form.fill(objective="vrex", vrex_weight="3")
        form.app.screen.query_one("#vrex_weight").focus()
        await form.fill(objective="")
        await form.press("backspace")
        assert form.text("vrex_weight") == ""
        assert (form.focused, "vrex_weight" in form.shown) == ("vrex_weight", True)
        await form.press("up")
        assert form.focused == "objective"
        assert "vrex_weight" not in form.shown

    use_form(use)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}")
def test_lines_above_the_cursor_come_and_go_without_moving_it(size: tuple[int, int]) -> None:
    async def use(form: Form) -> None:
        await form.unfold("method", "machine")
        await form.wait()
        field = form.app.screen.query_one("#head_steps", Input)
        field.focus()
        await form.wait()
        place = field.region.y
        assert place > 0
        assert "views" in form.shown
        await form.press("0")
        assert "views" not in form.shown
        assert field.region.y == place
        await form.press("5")
        assert "views" in form.shown
        assert (field.region.y, form.text("head_steps")) == (place, "05")

    use_form(use, size=size)


def test_long_help_is_complete_and_does_not_hide_the_field() -> None:
    async def use(form: Form) -> None:
        await form.unfold("method")
        for name in ("views", "scale_head_lr"):
            form.app.screen.query_one(f"#{name}").focus()
            await form.wait()
            shown = "\n".join(screen_lines(form.app))
            help_text = shown.rpartition("────")[2]
            assert form.focused == name
            assert {"views": "or none]", "scale_head_lr": "false]"}[name] in help_text
            assert f"\n   {name.replace('_', '-')} " in shown

    use_form(use, size=(80, 24))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=lambda size: f"{size[0]}")
def test_the_form_looks_as_it_did(size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    shown: list[str] = []

    async def use(form: Form) -> None:
        await form.fill(masks="4", seed="0,1", steps="many")
        await form.press(*["down"] * 7, "enter")
        await form.fill(batch_size="8", steps="")
        await form.wait()
        shown.extend(line.rstrip() for line in screen_lines(form.app))

    use_form(use, size=size)
    assert "\n".join(shown) == snapshot


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}")
def test_a_list_looks_as_it_did(size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    planner = FakePlanner()
    planner.found += tuple(Network(f"net{n}", "hub") for n in range(60))
    shown: list[str] = []

    async def use(form: Form) -> None:
        form.app.screen.query_one("#model", Input).focus()
        await form.press("enter")
        shown.extend(line.rstrip() for line in screen_lines(form.app))

    use_form(use, planner=planner, size=size)
    assert "\n".join(shown) == snapshot
