"""The form that makes runs."""

from __future__ import annotations

from textual.pilot import Pilot
from textual.widgets import Input, Static

from engine.protocol import FIELDS, RunSpec, resolve_spec
from tests.vld_tui.dashboard.fake_history import FakeActions, FakeSource, make_run, play, settle
from vld_tui.app import Dashboard
from vld_tui.screens.new_run.groups import FieldGroup


def verdict(app: Dashboard) -> str:
    return str(app.screen.query_one("#verdict", Static).render())


def fill(app: Dashboard, name: str, text: str) -> None:
    app.screen.query_one(f"#{name}", Input).value = text


async def unfold(app: Dashboard, pilot: Pilot[None]) -> None:
    for group in app.screen.query(FieldGroup):
        group.unfold(True)
    await settle(pilot)


def test_every_field_is_there_and_the_line_to_type_is_told() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("n")
        await settle(pilot)
        await unfold(app, pilot)
        assert {field.id for field in app.screen.query(Input)} == set(FIELDS)
        assert verdict(app) == "vld run"
        fill(app, "dropout_rate", "0.5")
        fill(app, "freeze_batchnorm", "no")
        await settle(pilot)
        assert verdict(app) == "vld run --dropout 0.5 --no-freeze-batchnorm"

    play(FakeSource([]), scenario)


def test_a_bad_value_is_told_as_on_the_command_line_and_not_launched() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("n")
        fill(app, "dropout_rate", "1.0")
        await settle(pilot)
        said = "--dropout is 1.0, but must be a number from 0 up to but not including 1."
        assert verdict(app) == said
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert verdict(app) == said
        await pilot.press("escape")

    play(FakeSource([]), scenario, actions=actions)
    assert actions.done == []


def test_several_seeds_make_several_runs() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("n")
        fill(app, "target", "noto")
        fill(app, "seed", "3, 4")
        await settle(pilot)
        assert verdict(app) == "2 runs like  vld run --target noto --seed 3"
        await pilot.press("ctrl+r")
        await settle(pilot)

    play(FakeSource([]), scenario, actions=actions)
    assert sorted(spec.seed for _, spec in actions.done if isinstance(spec, RunSpec)) == [3, 4]
    assert {what for what, _ in actions.done} == {"start"}


def test_a_clone_starts_from_the_run_under_the_cursor() -> None:
    spec = resolve_spec({"target": "noto", "lr": 1e-4, "lr_drops": (5, 7), "seed": 9})
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("c")
        await settle(pilot)
        await unfold(app, pilot)
        assert app.screen.query_one("#lr", Input).value == "0.0001"
        await pilot.press("ctrl+r")
        await settle(pilot)

    play(FakeSource([make_run(0, spec=spec)]), scenario, actions=actions)
    assert actions.done == [("start", spec)]
