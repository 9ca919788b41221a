"""The list is filtered while the filter is typed, and the cursor stays on its run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets._footer import FooterKey

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
    settle_until,
)
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import HistorySource
from vld_tui.dashboard.preferences import Preferences
from vld_tui.dashboard.widgets.run_table import RunTable
from vld_tui.home import Home
from vld_tui.store.query import Query
from vld_tui.store.saved_views import SavedView
from vld_tui.store.store import Store

RUNS = 300


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a home of many runs, the newest named run-299."""
    home = Home(tmp_path_factory.mktemp("filled"))
    with Store.open(home) as store:
        for seed in range(RUNS):
            target = "noto" if seed % 3 == 0 else "fluent"
            spec = resolve_spec({"dataset": "emoji", "target": target, "seed": seed})
            store.runs.create(spec, name=f"run-{seed:03d}")
    return home


def current(app: Dashboard) -> str:
    """Return the name of the run under the cursor."""
    return app.home.run.name if app.home.run else ""


def shows(app: Dashboard, text: str) -> Callable[[], bool]:
    """Return the condition that the first lines show a text."""
    return lambda: text in "\n".join(screen_lines(app)[:3])


def test_the_line_of_keys_shows_only_those_of_the_filter_that_is_typed(filled: Home) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        def keys() -> list[str]:
            return [key.description for key in app.screen.query(FooterKey)]

        await pilot.press("slash")
        await settle_until(pilot, lambda: keys() == ["keep", "back", "complete"])
        await pilot.press("escape")
        await settle_until(pilot, lambda: "quit" in keys())

    play(HistorySource(filled), scenario)


def test_the_list_and_its_counts_follow_what_is_typed(filled: Home) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"target=noto")
        await settle_until(pilot, shows(app, "100 of 300 runs"))
        lines = screen_lines(app)
        assert "vld-tui  300 runs" in lines[0]
        assert "target=noto" in lines[1]
        await pilot.press(*" seed")
        await pilot.pause(0.3)
        assert app.screen.query_one(RunTable).row_count == 100, "a field that is begun"
        await pilot.press(*">=")
        await settle_until(pilot, shows(app, "seed is ''"))
        assert "target=noto seed>=" in screen_lines(app)[1], "an error keeps the text"
        assert app.screen.query_one(RunTable).row_count == 100, "and the list"
        await pilot.press("enter")
        await settle(pilot)
        assert "seed is ''" in screen_lines(app)[2]
        await pilot.press(*"290", "enter")
        await settle_until(pilot, shows(app, "filter target=noto seed>=290"))
        await settle_until(pilot, shows(app, "3 of 300 runs"))
        await pilot.press("f", *"1", "escape")
        await settle_until(pilot, shows(app, "3 of 300 runs"))
        assert "filter target=noto seed>=290" in screen_lines(app)[1]
        await pilot.press("escape")
        await settle_until(pilot, lambda: app.screen.query_one(RunTable).row_count == RUNS)

    play(HistorySource(filled), scenario)


def test_the_cursor_stays_on_its_run_or_goes_to_the_nearest(filled: Home) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)
        await settle_until(pilot, lambda: current(app) == "run-299")
        await pilot.press("G")
        await settle_until(pilot, lambda: current(app) == "run-000")
        await pilot.press("k")
        await settle_until(pilot, lambda: current(app) == "run-001")
        await pilot.press("o", "o", "o")  # by name, which is the order of creation
        await settle_until(pilot, lambda: table.cursor == 1)
        assert current(app) == "run-001"
        await pilot.press("O")
        await settle_until(pilot, lambda: table.cursor == RUNS - 2 and current(app) == "run-001")
        await pilot.press("slash", *"target=noto")
        await settle_until(pilot, shows(app, "100 of 300"))
        await settle_until(pilot, lambda: current(app) == "run-000")
        assert table.cursor == 99
        await pilot.press("escape")
        await settle_until(pilot, lambda: current(app) == "run-001")
        assert table.cursor == RUNS - 2
        await pilot.press("slash", *"seed=200", "enter")
        await settle_until(pilot, lambda: current(app) == "run-200")

    play(HistorySource(filled), scenario)


def test_both_ends_of_a_long_list_are_read_one_after_the_other(filled: Home) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await settle_until(pilot, lambda: current(app) == "run-299")
        for _ in range(2):
            await pilot.press("G")
            await settle_until(pilot, lambda: app.home.interest.near[:1] == (newest("run-000"),))
            await pilot.press("g")
            await settle_until(pilot, lambda: current(app) == "run-299")
            assert any("run-298" in line for line in screen_lines(app))

    def newest(name: str) -> str:
        with Store.open(filled) as store:
            return store.runs.find(Query.parse(f"name={name}"))[0].run_id

    play(HistorySource(filled), scenario)


def test_hidden_marks_are_counted_and_stay(filled: Home) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await settle_until(pilot, lambda: current(app) == "run-299")
        await pilot.press("space", "space", "space", "slash", *"seed=299|0", "enter")
        await settle_until(pilot, shows(app, "3 marked (2 hidden)"))
        await pilot.press("slash", *["backspace"] * 20, "enter")
        await settle_until(pilot, shows(app, "3 marked"))
        await settle_until(pilot, lambda: not shows(app, "hidden")())

    play(HistorySource(filled), scenario)


def test_runs_that_appear_do_not_move_the_cursor_off_its_run(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Store.open(home) as store:
        store.runs.create_many([resolve_spec({"seed": seed}) for seed in range(5)])

        async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
            await pilot.press("j", "j")
            await settle(pilot)
            before = app.home.run
            assert before is not None
            store.runs.create_many([resolve_spec({"seed": seed}) for seed in range(100, 230)])
            await settle_until(pilot, shows(app, "135 runs"))
            await settle_until(pilot, lambda: app.home.run == before)
            assert app.screen.query_one(RunTable).cursor == 132

        play(HistorySource(home), scenario, preferences=Preferences(refresh_s=0.1))


def test_tab_completes_fields_and_values(filled: Home) -> None:
    class Completing(FakeActions):
        def complete_filter(self, text: str) -> list[str]:
            return Actions(filled).complete_filter(text)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        def typed() -> str:
            return screen_lines(app)[1].removeprefix(" filter ").strip()

        await pilot.press("slash", *"datas", "tab")
        await settle_until(pilot, lambda: typed().startswith("dataset="))
        await pilot.press(*"emoji !targ", "tab")
        await settle_until(pilot, lambda: typed().startswith("dataset=emoji !target="))
        await pilot.press("tab")
        await settle_until(pilot, shows(app, "target=fluent  !target=noto"))
        await pilot.press("tab")
        await settle_until(pilot, lambda: typed().startswith("dataset=emoji !target=fluent"))
        await pilot.press("tab")
        await settle_until(pilot, lambda: typed().startswith("dataset=emoji !target=noto"))

    play(HistorySource(filled), scenario, actions=Completing())


def test_the_arrows_take_former_filters() -> None:
    actions, source = FakeActions(), FakeSource([make_run(0)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"seed=1", "enter", "escape", "slash", "up", "up")
        await settle(pilot)
        assert "base" in screen_lines(app)[1]
        await pilot.press("down", "enter")
        await settle(pilot)
        assert "filter seed=1" in screen_lines(app)[1]

    play(source, scenario, actions=actions, preferences=Preferences(filters=("base",)))
    assert actions.preferences is not None
    assert actions.preferences.filters == ("base", "seed=1")


def test_an_expression_that_takes_too_long_is_reported_below_the_filter(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with Store.open(home) as store:
        store.runs.create(resolve_spec({}), name="a" * 60)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"/^(a|aa)+b/")
        await settle_until(pilot, shows(app, "The regular expression takes too long"))
        await pilot.press("escape")
        await settle_until(pilot, shows(app, "vld-tui  1 run"))

    play(HistorySource(home), scenario)


def test_a_click_on_the_list_keeps_the_filter() -> None:
    source = FakeSource([make_run(at) for at in range(3)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"seed>=0")
        await pilot.click(RunTable, offset=(8, 2))
        await settle(pilot)
        assert "filter seed>=0" in screen_lines(app)[1]
        await pilot.press("j")
        await settle(pilot)
        assert source.asked[-1].watched == ("250101-000002-aaaa",)

    play(source, scenario)


def test_a_view_is_saved_chosen_and_deleted(filled: Home) -> None:
    class Viewing(FakeActions):
        """Keeps views in the home."""

        def __init__(self) -> None:
            super().__init__()
            self._home = filled

    def saved() -> dict[str, SavedView]:
        return Actions(filled).views()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)
        await pilot.press("slash", *"target=noto", "enter")
        await settle_until(pilot, lambda: table.row_count == 100)
        await pilot.press("V")
        await settle_until(pilot, lambda: app.screen is not app.home)
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press(*"mine", "enter")
        await settle_until(pilot, saved)
        await pilot.press("escape")
        await settle_until(pilot, lambda: table.row_count == RUNS)
        await pilot.press("V")
        await settle_until(pilot, lambda: app.screen is not app.home)
        await pilot.press("up", "enter")
        await settle_until(pilot, lambda: table.row_count == 100)
        await pilot.press("V")
        await settle_until(pilot, lambda: app.screen is not app.home)
        await pilot.press("up", "ctrl+d")
        await settle(pilot)
        await pilot.press("y")
        await settle_until(pilot, lambda: not saved())

    play(HistorySource(filled), scenario, actions=Viewing())
