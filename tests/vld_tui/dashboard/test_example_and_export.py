"""The first run of an empty home, and runs written to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
)
from vld_tui.control.records import RecordsError
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import Snapshot
from vld_tui.dashboard.messages import SnapshotTaken
from vld_tui.dashboard.widgets.run_table import RunTable
from vld_tui.home import Home
from vld_tui.store.query import Query
from vld_tui.store.store import Store


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_an_empty_home_offers_the_example_and_enter_starts_it(size: tuple[int, int]) -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert any("enter   run the example" in line for line in screen_lines(app))
        await pilot.press("enter")
        await settle(pilot)

    play(FakeSource([]), scenario, actions=actions, size=size)
    assert actions.done == [("start", resolve_spec({}))]


def test_enter_starts_the_example_though_the_list_was_never_drawn_before_it_was_hidden() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        table = app.home.query_one(RunTable)
        table.display = True
        app.home.set_focus(table)
        app.home.on_snapshot_taken(SnapshotTaken(Snapshot(interest=app.home.interest)))
        table.focus()  # happens later, once the table is hidden
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)

    play(FakeSource([]), scenario, actions=actions)
    assert actions.done == [("start", resolve_spec({}))]


def test_enter_starts_nothing_where_there_are_runs() -> None:
    actions = FakeActions()
    source = FakeSource([make_run(0)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("tab", "enter")  # a chart: nothing to open
        await settle(pilot)

    play(source, scenario, actions=actions)
    assert actions.done == []


def test_the_runs_that_match_and_the_screen_are_written_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions = FakeActions()
    monkeypatch.chdir(tmp_path)
    picture, taken = Path("a.svg"), Path("b.svg")
    taken.write_text("mine")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("f", *"seed<9", "enter")
        await settle(pilot)
        await pilot.press("w", *"runs.csv", "enter")
        await settle(pilot)
        for place in (picture, taken, Path("c") / "a.svg"):
            await pilot.press("w", *str(place), "enter")
            await settle(pilot)
            said = str([*app._notifications][-1].message)
            assert ("cannot be written" in said) == (place != picture)
            assert str(tmp_path / place) in said

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert actions.done == [("export", (9.0,), "runs.csv")]
    assert picture.read_text().startswith("<svg")
    assert taken.read_text() == "mine"


def test_files_hold_what_scripts_want_to_know(home: Home, tmp_path: Path) -> None:
    with Store.open(home) as store:
        store.runs.create(resolve_spec({"seed": 1}), name='odd, "name"')
        store.runs.create(resolve_spec({"seed": 2}))
    actions = Actions(home)
    table, document = tmp_path / "runs.csv", tmp_path / "runs.json"
    assert actions.export(Query(), str(table)) == f"2 runs in {table}"
    assert table.read_text().splitlines()[0].startswith("run,name,status")
    assert '"odd, ""name"""' in table.read_text()
    actions.export(Query.parse("seed=2"), str(document))
    assert [run["seed"] for run in json.loads(document.read_text())] == [2]
    for place, said in ((table, "File exists"), (tmp_path / "runs.txt", "or \\.svg for the screen"),
                        (tmp_path / "no" / "runs.csv", "No such file")):  # fmt: skip
        with pytest.raises(RecordsError, match=said):
            actions.export(Query(), str(place))
