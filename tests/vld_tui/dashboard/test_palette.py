"""The palette: actions with what they do, and jumps by name."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from engine.protocol import UserError, resolve_spec
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    settle,
    settle_until,
)
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.chains import chains
from vld_tui.dashboard.keys import is_movement
from vld_tui.dashboard.sentences import SENTENCES
from vld_tui.home import Home
from vld_tui.store.store import Store


def test_every_action_has_a_sentence_and_every_sentence_an_action() -> None:
    every = [
        binding
        for binding in itertools.chain.from_iterable(itertools.chain(*chains(Dashboard.BINDINGS)))
        if isinstance(binding, Binding)
    ]
    first_keys = {each.id: each.key.partition(",")[0] for each in every}
    actions = {
        each.id
        for each in every
        if each.show or not is_movement(Binding(first_keys[each.id], "", ""))
    }
    assert actions - SENTENCES.keys() == set()
    assert not [each for each in SENTENCES.values() if not each.endswith(".")]


@pytest.mark.parametrize(
    ("typed", "title", "opened"),
    [
        ("theme: nord", "Theme: nord", "theme"),
        ("study: ra", "Study: rates", "study"),
        ("abc", "Run: found-abc", "run"),
    ],
)
def test_a_name_is_found(typed: str, title: str, opened: str) -> None:
    source = FakeSource([make_run(0)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+p")
        await pilot.pause()
        palette = app.screen
        assert isinstance(palette, CommandPalette)
        palette.query_one(Input).value = typed
        options = palette.query_one(OptionList)
        await settle_until(
            pilot, lambda: any(title in str(each.prompt) for each in options.options)
        )
        await pilot.press("enter")
        await settle(pilot)
        if opened == "theme":
            assert app.theme == "nord"
        else:
            asked = source.asked[-1]
            assert (asked.study, asked.opened) == (
                ("rates", None) if opened == "study" else (None, "250101-000007-aaaa")
            )

    play(source, scenario)


def test_names_are_no_markup() -> None:
    class Odd(FakeActions):
        """Has a study whose name looks like markup."""

        def study_names(self) -> list[str]:
            return ["r1[red]"]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+p")
        await pilot.pause()
        app.screen.query_one(Input).value = "r1[red]"
        options = app.screen.query_one(OptionList)
        titles = {"Study: r1[red]", "Report: r1[red]", "Run: found-r1[red]"}
        await settle_until(
            pilot,
            lambda: titles <= {str(each.prompt).split("\n")[0] for each in options.options},
        )

    play(FakeSource([make_run(0)]), scenario, actions=Odd())


def test_runs_are_found_by_a_part_of_the_name_and_by_id(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Store.open(home) as store:
        first, second = (
            store.runs.create(resolve_spec({"seed": seed}), name=f"Run {seed}") for seed in (1, 2)
        )
    actions = Actions(home)
    assert [run.run_id for run in actions.runs_named("run")] == [second.run_id, first.run_id]
    assert [run.run_id for run in actions.runs_named("RUN 1")] == [first.run_id]
    assert [run.run_id for run in actions.runs_named(second.run_id)] == [second.run_id]
    assert actions.study_names() == []
    with pytest.raises(UserError):
        actions.runs_named('no "such" run')
