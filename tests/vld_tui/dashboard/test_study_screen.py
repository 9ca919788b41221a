"""Studies: the list of them, and one as it fills."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import msgspec
import pytest
from syrupy.assertion import SnapshotAssertion
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from engine.protocol import RunSpec
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
    settle_until,
)
from tests.vld_tui.dashboard.fake_planner import FakePlanner
from tests.vld_tui.study.known_datasets import read
from tests.vld_tui.study.made_studies import RATES, half_done, run_of, state_of
from vld_tui.dashboard.actions import UndoneRuns
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.screens.home import HomeScreen
from vld_tui.dashboard.screens.run import RunScreen
from vld_tui.dashboard.screens.runs import RunsScreen
from vld_tui.dashboard.screens.studies import StudiesScreen
from vld_tui.dashboard.screens.study import StudyScreen
from vld_tui.dashboard.widgets.heat_map import HeatMapView
from vld_tui.dashboard.widgets.plane import StudyPlane
from vld_tui.store.saved_views import SavedView
from vld_tui.study.define.grid import StudyError
from vld_tui.study.forecast import StudyCost
from vld_tui.study.planner import StudyOutline
from vld_tui.study.results.outcomes import Outcome
from vld_tui.study.results.state import Counts, StudyProgress, StudyState, TimeLeft
from vld_tui.study.standing import LaunchPlan, Standing

SIZES = ((80, 24), (120, 40))
VIEWS = {
    "map": (),
    "gap": ("right", "down", "m", "m"),
    "plane": ("tab",),
    "table": ("tab", "tab"),
    "averaged": ("a",),
}
"""The keys that lead to each view of a study."""
HALF = state_of(status=half_done, left=TimeLeft(3700.0, 0))
DONE = state_of()


def source_of(state: StudyState = HALF, *others: StudyProgress) -> FakeSource:
    """Return a history with a study in it."""
    source = FakeSource([make_run(0)])
    if state.standing is not None:
        counts = Counts.of(state.standing)
        progress = StudyProgress(state.name, state.standing.study.title, counts, state.left)
        source.runs += state.standing.finished
        source.count = len(source.runs)
    else:
        progress = StudyProgress(state.name, problem=state.problem)
    source.studies = (progress, *others)
    source.study = state
    return source


async def open_study(pilot: Pilot[None], *keys: str) -> None:
    """Go from the list of runs to the study, and press keys there."""
    for key in ("4", "enter", *keys):
        await pilot.press(key)
        await settle(pilot)


@pytest.mark.parametrize(
    ("view", "size"),
    [*((view, size) for view in VIEWS for size in SIZES), ("map", (200, 50))],
    ids=str,
)
def test_a_study_looks_as_it_did(
    view: str, size: tuple[int, int], snapshot: SnapshotAssertion
) -> None:
    shown: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, *VIEWS[view])
        shown.extend(line.rstrip() for line in screen_lines(app))

    play(source_of(), scenario, size=size)
    assert "\n".join(shown) == snapshot


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("is_empty", [True, False], ids=["none", "some"])
def test_the_list_of_studies_looks_as_it_did(
    is_empty: bool, size: tuple[int, int], snapshot: SnapshotAssertion
) -> None:
    shown: list[str] = []
    source = source_of(HALF, StudyProgress("broken", problem="broken.toml: not valid TOML: x"))
    if is_empty:
        source.studies = ()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await settle(pilot)
        shown.extend(line.rstrip() for line in screen_lines(app))

    play(source, scenario, size=size)
    assert "\n".join(shown) == snapshot


def test_presets_get_their_cost_while_the_list_is_shown() -> None:
    planner = FakePlanner()
    planner.outlines = {
        "demo": StudyOutline(30, 3700.0, 2**30),
        "paper-fig3": StudyOutline(1152),
    }

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await settle(pilot)
        lines = {line.split()[0]: line for line in screen_lines(app) if line.split()}
        assert lines["demo"].split()[1:6] == ["30", "1h", "01m", "1.0", "GiB"]
        assert lines["paper-fig3"].split()[1:4] == ["1,152", "–", "–"]
        assert lines["demo"].index("1h 01m") == lines["rates"].index("1h 01m"), "columns agree"
        assert "enter open" in screen_lines(app)[-1]

    play(source_of(), scenario, planner=planner, size=(120, 40))


def test_escape_goes_back_step_by_step_and_nothing_is_read_then() -> None:
    source = source_of()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot)
        assert isinstance(app.screen, StudyScreen)
        assert (source.asked[-1].study, source.asked[-1].studies) == ("rates", False)
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, StudiesScreen)
        assert (source.asked[-1].study, source.asked[-1].studies) == (None, True)
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen_stack == [app.home]
        assert (source.asked[-1].study, source.asked[-1].studies) == (None, False)

    play(source, scenario)


def test_the_map_fills_as_runs_end_and_the_cursor_stays() -> None:
    source = source_of(state_of(status=lambda _: "queued"))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "right", "down")
        assert "0/8 finished" in screen_lines(app)[1]
        assert not any("61." in line for line in screen_lines(app))
        source.study = state_of()
        await settle_until(pilot, lambda: "8/8 finished" in screen_lines(app)[1])
        await settle_until(pilot, lambda: any("65.0±1.4" in each for each in screen_lines(app)))
        assert app.screen.query_one(HeatMapView).cursor == (1, 1)

    play(source, scenario)


def test_a_cell_of_several_runs_lists_them_and_escape_leads_back_to_it_level_by_level() -> None:
    source = source_of()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "m", "right", "down", "left", "enter")
        runs = app.screen
        assert isinstance(runs, RunsScreen)
        assert any("studies › rates › dropout 0.9 · target fluent" in line
                   for line in screen_lines(app))  # fmt: skip
        assert "run_id IN" in source.asked[-1].query.where
        await pilot.press("b", "n", "o", "n", "e", "enter", "enter")
        await settle(pilot)
        assert [type(each) for each in app.screen_stack][-1] is RunScreen
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen_stack[-1] is runs
        assert "run_id IN" in source.asked[-1].query.where
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, StudyScreen)
        assert app.screen.query_one(HeatMapView).cursor == (1, 0)
        assert any("ID accuracy by target" in line for line in screen_lines(app))
        assert source.asked[-1].study == "rates"
        await pilot.press("escape", "escape")
        await settle(pilot)
        assert app.screen_stack == [app.home]
        assert source.asked[-1].query.where == "TRUE"

    play(source, scenario)


def test_the_runs_of_a_study_are_a_list_with_its_filter_groups_and_views() -> None:
    class Viewing(FakeActions):
        """Has a saved view."""

        def views(self) -> dict[str, SavedView]:
            return {"mine": SavedView(filter="seed=1")}

    source = source_of()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "A")
        assert isinstance(app.screen, RunsScreen)
        assert any("studies › rates › all runs" in line for line in screen_lines(app))
        await pilot.press("b", "enter", "2")
        await settle(pilot)
        asked = source.asked[-1]
        assert asked.grouping is not None
        assert asked.plane
        assert "run_id IN" in asked.query.where, "groups are of these runs only"
        await pilot.press("V")
        await settle(pilot)
        await pilot.press("up", "enter")
        await settle(pilot)
        assert "run_id IN" in source.asked[-1].query.where, "saved views are of these runs only"
        assert source.asked[-1].query.terms[0].text == "seed=1"
        await pilot.press("4")  # back to the studies below, not onto a second screen of them
        await settle(pilot)
        assert [type(screen) for screen in app.screen_stack] == [HomeScreen, StudiesScreen]
        assert (source.asked[-1].study, source.asked[-1].studies) == (None, True)

    play(source, scenario, actions=Viewing())


@pytest.mark.parametrize(("answer", "done"), [("n", []), ("y", [("stop study", "rates")])])
def test_a_study_is_stopped_after_it_said_what_that_does(answer: str, done: list[object]) -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "S")
        said = " ".join(str(each.content) for each in app.screen.query(Static))
        for part in ("1 running run will save a checkpoint and stop", "1 queued run will leave"):
            assert part in said
        await pilot.press(answer)
        await settle(pilot)

    play(source_of(), scenario, actions=actions)
    assert actions.done == done


def test_a_study_without_open_runs_has_nothing_to_stop() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "S")
        assert isinstance(app.screen, StudyScreen)
        assert ["no running or queued" in each.message for each in app._notifications] == [True]

    play(source_of(DONE), scenario)


def test_what_was_stopped_is_no_error_and_has_no_time_left() -> None:
    stopped = state_of(status=lambda _: "stopped", left=TimeLeft(3700.0, 0))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await settle(pilot)
        assert not any("1h" in line for line in screen_lines(app))
        await pilot.press("enter")
        await settle(pilot)
        line = screen_lines(app)[1]
        assert "0/8 finished · 8 stopped; launch resumes them" in line
        assert "left" not in line
        assert not any("✗" in line for line in screen_lines(app))

    play(source_of(stopped), scenario)


def test_nothing_false_is_said_while_a_study_is_read() -> None:
    source = source_of()
    source.study = None

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot)
        assert "loading…" in screen_lines(app)[1]
        await pilot.press("2")
        await settle(pilot)
        assert any("ID–OOD plane: loading…" in line for line in screen_lines(app))
        await pilot.press("3")
        await settle(pilot)
        assert not any("yet" in line for line in screen_lines(app))

    play(source, scenario)


def test_the_prediction_is_named_above_every_view() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot)
        assert "prediction: own network" in screen_lines(app)[0]
        for key in ("a", "2", "3"):
            await pilot.press(key)
            await settle(pilot)
            assert "prediction: averaged" in screen_lines(app)[0]

    play(source_of(), scenario)


def test_a_wide_map_of_many_targets_is_whole_and_has_its_colours() -> None:
    text = RATES.text.replace('data = ["emoji"]', 'data = ["emoji", "PACS", "VLCS"]')
    study = read(text.replace('target = ["fluent", "noto"]', 'target = "all"'))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot)
        lines = screen_lines(app)
        names = next(line for line in lines if line.startswith(" dropout"))
        assert all(f"{each}/{name}" in names for each in ("PACS", "VLCS") for name in "abc")
        assert any("by target" in line and line.rstrip().endswith("65.0") for line in lines)
        assert any("ID–OOD" in line for line in lines[12:]), "the plane is below"

    play(source_of(state_of(study)), scenario, size=(200, 50))


EDITED = 'import sys; p = sys.argv[1]; s = open(p).read(); open(p, "w").write(s + "seeds = 3\\n")'


def test_a_study_is_edited_checked_and_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", f"{sys.executable} -c '{EDITED}'")
    monkeypatch.setattr(App, "suspend", lambda _: contextlib.nullcontext())
    actions, planner = FakeActions(), FakePlanner()
    planner.plan = StudyError("it makes no sense")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "E")
        assert any("it makes no sense" in line for line in screen_lines(app))
        planner.plan = plan_of()
        await pilot.press("escape", "E")  # continues with what was typed
        await settle(pilot)
        assert any("Launch?" in line for line in screen_lines(app))
        await pilot.press("y")
        await settle(pilot)
        await pilot.press("E")  # begins with the launched study again
        await settle(pilot)

    play(source_of(), scenario, actions=actions, planner=planner)
    once = 'name = "rates"\nseeds = 3\n'
    assert planner.planned == [once, f"{once}seeds = 3\n", once]
    assert actions.done == [("launch study", f"{once}seeds = 3\n")]


def test_a_study_is_shown_where_there_is_no_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "E")
        assert any('name = "rates"' in line for line in screen_lines(app))
        assert ["set EDITOR" in each.message for each in app._notifications] == [True]
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, StudyScreen)

    play(source_of(), scenario)


def test_a_study_is_launched_from_a_file(tmp_path: Path) -> None:
    actions, planner = FakeActions(), FakePlanner()
    planner.plan = plan_of()
    path = str(tmp_path / "mine.toml")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await settle(pilot)
        await pilot.press("n")
        await settle(pilot)
        app.screen.query_one(Input).value = path
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("y")
        await settle(pilot)

    play(source_of(), scenario, actions=actions, planner=planner)
    assert (planner.planned, actions.done) == ([path], [("launch study", path)])


def test_a_cell_of_one_run_opens_it_and_escape_leads_back() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "enter")
        assert "fluent-d0.0-s0" in screen_lines(app)[0]
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, StudyScreen)

    play(source_of(state_of(read(RATES.text.replace("seeds = 2", "seeds = 1")))), scenario)


def test_a_cell_without_runs_says_how_to_make_them() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "enter")
        assert ["r launches the missing ones" in each.message for each in app._notifications] == [
            True
        ]

    play(source_of(state_of(status=lambda _: None)), scenario)


def test_a_click_chooses_a_cell_and_two_open_it() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot)
        lines = screen_lines(app)
        y = next(y for y, line in enumerate(lines) if line.startswith(" 0.9"))
        x = lines[y].index("60.0")
        await pilot.click(offset=(x, y))
        await settle(pilot)
        assert app.screen.query_one(HeatMapView).cursor == (1, 0)
        await pilot.click(offset=(x, y), times=2)
        await settle(pilot)
        assert isinstance(app.screen, RunsScreen)

    play(source_of(DONE), scenario)


def test_a_point_of_the_plane_opens_its_runs() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "tab", "up", "v")
        plane = app.screen.query_one(StudyPlane)
        assert [point.target for point in plane.plot.points] == [None, None]
        await pilot.press("v")
        await settle(pilot)
        assert {point.target for point in plane.plot.points} == {"fluent", "noto"}
        await pilot.press("up", "enter")
        await settle(pilot)
        assert isinstance(app.screen, RunsScreen)

    play(source_of(state_of()), scenario)


def test_means_over_other_targets_are_not_drawn() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "tab", "v")
        assert all(point.target for point in app.screen.query_one(StudyPlane).plot.points)
        assert ["No setting has" in each.message for each in app._notifications] == [True]

    play(source_of(), scenario)


def test_fields_are_chosen_for_rows_and_columns() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "x", "s", "e", "e", "d", "enter")
        lines = screen_lines(app)
        assert any("by seed, mean over target, 1 seed" in line for line in lines)
        await pilot.press("y", "s", "e", "e", "d", "enter")  # they change places
        await settle(pilot)
        assert any("by dropout, mean" in line for line in screen_lines(app))

    play(source_of(state_of()), scenario)


def test_what_is_left_is_launched_again() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "r")

    play(source_of(), scenario, actions=actions)
    assert actions.done == [("launch study", "rates")]


@pytest.mark.parametrize(("answer", "done"), [("n", []), ("y", [("launch study", "rates")])])
def test_many_new_runs_are_asked_about(answer: str, done: list[object]) -> None:
    actions = FakeActions()
    many = read(RATES.text.replace("seeds = 2", "seeds = 30"))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "r")
        assert any("Launch 120 new runs?" in line for line in screen_lines(app))
        await pilot.press(answer)
        await settle(pilot)

    play(source_of(state_of(many, lambda _: None)), scenario, actions=actions)
    assert actions.done == done


def test_it_is_asked_before_many_runs_go_to_a_cluster() -> None:
    state = state_of(read(RATES.text.replace("seeds = 2", "seeds = 30")), lambda _: None)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "r")
        asked = "Launch 120 new runs on slurm, as last time?"
        assert any(asked in line for line in screen_lines(app))

    play(source_of(replace(state, is_on_cluster=True)), scenario)


def test_the_table_is_written_to_a_file() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "w", "t", "full_stop", *"csv")
        await pilot.press("enter")
        await settle(pilot)

    play(source_of(), scenario, actions=actions)
    assert actions.done == [("export study", "rates", "t.csv")]


def plan_of(status: str | None = None, refusal: str | None = None) -> LaunchPlan:
    standing = Standing(
        RATES, tuple(run_of(spec, status) if status else None for spec in RATES.specs)
    )
    return LaunchPlan(standing, StudyCost(8, 3600.0), 1, refusal)


def test_a_preset_is_launched_after_what_it_takes_was_shown() -> None:
    actions, planner = FakeActions(), FakePlanner()
    planner.plan = plan_of()
    source = source_of()
    source.studies = ()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot)
        lines = screen_lines(app)
        for said in ("8 runs: 2 targets × 2 dropout rates", "about 1h 00m", "Launch?"):
            assert any(said in line for line in lines), said
        await pilot.press("n")
        await settle(pilot)
        assert actions.done == []
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("y")
        await settle(pilot)

    play(source, scenario, actions=actions, planner=planner, size=(80, 24))
    assert actions.done == [("launch study", "demo")]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (plan_of(refusal="PACS is not on this machine."), "PACS is not on this machine."),
        (StudyError("it makes no sense"), "it makes no sense"),
    ],
)
def test_what_cannot_be_launched_says_why(plan: LaunchPlan | Exception, said: str) -> None:
    actions, planner = FakeActions(), FakePlanner()
    planner.plan = plan
    source = source_of()
    source.studies = ()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot)
        assert any(said in line for line in screen_lines(app))
        assert not any("Launch?" in line for line in screen_lines(app))
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, StudiesScreen)

    play(source, scenario, actions=actions, planner=planner)
    assert actions.done == []


def test_the_cursor_follows_a_preset_that_is_launched() -> None:
    source = source_of()
    source.studies = ()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await settle(pilot)
        await pilot.press("j")
        source.studies = (StudyProgress("a"), StudyProgress("pays-linear"))

        def highlighted() -> str | None:
            option = app.screen.query_one(OptionList).highlighted_option
            return None if option is None else option.id

        await settle_until(pilot, lambda: highlighted() == "kept:pays-linear")

    play(source, scenario)


def test_a_study_that_cannot_be_read_says_why() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "m", "a", "x", "y", "r", "tab", "v", "enter", "tab")
        assert any("it makes no sense" in line for line in screen_lines(app))

    play(source_of(StudyState("rates", problem="it makes no sense")), scenario)


def test_names_from_outside_are_no_markup() -> None:
    study = read(RATES.text.replace("How much dropout?", "[b]odd\\u001b[2J"))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await settle(pilot)
        assert any("[b]odd␛[2J" in line for line in screen_lines(app))
        await pilot.press("enter")
        await settle(pilot)
        assert "[b]odd␛[2J" in screen_lines(app)[0]

    def status(spec: RunSpec) -> str:
        return "failed" if spec.seed else "finished"

    play(source_of(state_of(study, status)), scenario)


def test_measures_that_disagree_are_cautioned_about_above_every_view() -> None:
    def told(index: int, result: Outcome) -> Outcome:
        """Gain accuracy with dropout, and lose balanced accuracy."""
        rate = float(result.setting.value("dropout_rate") or 0)
        balanced = {"balanced_accuracy": (0.5, 0.4 - rate / 20 + index / 10_000)}
        gained = 0.4 + rate / 10
        return msgspec.structs.replace(result, ood_accuracy=gained, measures=balanced)

    results = tuple(told(index, each) for index, each in enumerate(DONE.results))
    shown: list[str] = []

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for keys in (("4", "enter"), ("tab",), ("tab",)):
            await pilot.press(*keys)
            await settle(pilot)
            shown.append("\n".join(screen_lines(app)))

    play(source_of(replace(DONE, results=results)), scenario, size=(120, 40))
    for view in shown:
        assert "caution: accuracy and balanced accuracy disagree on" in view
    assert "ID/OOD balanced accuracy of own network by target" in shown[-1]


def test_a_report_is_written_and_its_path_is_shown_and_copied() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "R")
        await settle_until(pilot, lambda: app.clipboard)
        assert app.clipboard == "/home/of/runs/reports/rates/index.html"
        await settle(pilot)
        assert any(app.clipboard in line for line in screen_lines(app))
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, StudyScreen)

    play(source_of(), scenario, actions=actions)
    assert ("report study", "rates") in actions.done


def test_a_report_that_cannot_be_written_says_why() -> None:
    actions = FakeActions()
    actions.refusal = "No run of study rates has finished yet."

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "R")
        await settle_until(pilot, lambda: len(app._notifications) == 1)
        assert "has finished yet" in [*app._notifications][-1].message
        assert isinstance(app.screen, StudyScreen)

    play(source_of(), scenario, actions=actions)


def test_a_report_is_finished_after_the_study_was_left() -> None:
    go = Event()

    class Slow(FakeActions):
        """Writes a report only when it may."""

        def report_study(self, name: str, progress: Callable[[str], object]) -> Path:
            assert go.wait(10)
            return super().report_study(name, progress)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "R", "escape")
        go.set()
        await settle_until(pilot, lambda: app.clipboard)
        assert "Report of rates" in [*app._notifications][-1].message
        assert isinstance(app.screen, StudiesScreen)

    play(source_of(), scenario, actions=Slow())


def test_an_undo_in_a_list_that_was_left_ends_quietly() -> None:
    go = Event()

    class Slow(FakeActions):
        """Undoes a change only when it may."""

        def undo(self) -> UndoneRuns:
            assert go.wait(10)
            return super().undo()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "A", "ctrl+d", "z", "escape")
        assert isinstance(app.screen, StudyScreen)
        go.set()
        await settle_until(pilot, lambda: app._notifications)

    play(source_of(), scenario, actions=Slow())


def test_an_editor_with_an_unclosed_quote_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "vi '")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_study(pilot, "E")
        assert [each.message for each in app._notifications] == [
            'EDITOR is "vi \'", which has an unclosed quote.'
        ]

    play(source_of(), scenario)
