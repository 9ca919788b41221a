"""The home screen, used by keys and mouse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from textual.pilot import Pilot

from engine.protocol import resolve_spec
from engine.protocol.phases import Phase
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    screen_strips,
    settle,
)
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import Interest, Snapshot
from vld_tui.dashboard.screens.compare import CompareScreen
from vld_tui.dashboard.screens.home import WELCOME
from vld_tui.dashboard.widgets.chart import Chart
from vld_tui.dashboard.widgets.filter_line import FilterLine
from vld_tui.dashboard.widgets.run_table import HEADING_ROWS, RunTable
from vld_tui.runs.run import GroupRow, Run
from vld_tui.views.run_columns import RUN_COLUMNS
from vld_tui.words.palette import DARK_SHADES, ID_STYLE, LIGHT_SHADES, OOD_STYLE, series_look

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])


def titles(app: Dashboard) -> list[str]:
    return [chart.plot.title for chart in app.screen.query(Chart)]


@SIZES
def test_runs_are_listed_with_the_curves_of_the_first(size: tuple[int, int]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        lines = screen_lines(app)
        assert "vld-tui  3 runs · 1 running   cpu 25% · memory 2.0/16 GiB" in lines[0]
        for part in ("✓  run 0", "finished", "70.0%", "50.0%"):
            assert part in lines[3]
        assert "all: " in lines[1]
        assert "λ 0.9" in lines[1]
        assert any("accuracy  last  70.0% ID  50.0% OOD" in line for line in lines)
        assert titles(app) == ["accuracy", "domains", "loss"]

    play(FakeSource([make_run(i) for i in range(3)]), scenario, size=size)


def test_a_run_keeps_its_colour_in_list_and_charts_while_it_is_marked() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        def colours() -> dict[str, str]:
            return {
                each.name: each.style for each in app.screen.query_one("#first", Chart).plot.series
            }

        await pilot.press("space", "space", "space")
        await settle(pilot)
        before = colours()
        await pilot.press("g", "space")  # the first one is unmarked, the others keep their colours
        await settle(pilot)
        assert colours() == {name: before[name] for name in ("run 1", "run 2")}
        places = app.screen.query_one(RunTable).places
        assert [series_look(place).colour for place in places.values()] == [*colours().values()]
        await pilot.press("d")
        await settle(pilot)
        assert isinstance(app.screen, CompareScreen)
        compared = app.screen.query_one("#first", Chart).plot.series
        assert {each.style for each in compared if not each.is_bound} <= {*colours().values()}

    rates = (0.0, 0.5, 0.9)
    runs = [
        make_run(at, spec=resolve_spec({"dropout_rate": rate})) for at, rate in enumerate(rates)
    ]
    play(FakeSource(runs), scenario)


@pytest.mark.parametrize(
    ("theme", "shades"), [("textual-dark", DARK_SHADES), ("textual-light", LIGHT_SHADES)]
)
def test_curves_have_the_shades_of_the_theme(theme: str, shades: dict[str, str]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        app.theme = theme
        await settle(pilot)
        styles = [each.style for strip in screen_strips(app) for each in strip]
        drawn = {style.color.name.upper() for style in styles if style and style.color}
        for colour in (ID_STYLE, OOD_STYLE):
            assert shades.get(colour, colour) in drawn

    play(FakeSource([make_run(0)]), scenario)


def test_the_curves_follow_the_cursor() -> None:
    source = FakeSource([make_run(i) for i in range(3)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("j", "down")
        await settle(pilot)
        assert source.asked[-1].watched == ("250101-000002-aaaa",)
        await pilot.press("k")
        await settle(pilot)
        assert source.asked[-1].watched == ("250101-000001-aaaa",)

    play(source, scenario)


def test_curves_are_drawn_when_the_cursor_rests_or_they_are_used() -> None:
    source = FakeSource([make_run(i) for i in range(4)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("j", "j")
        await settle(pilot)
        assert source.asked[-1].watched == ("250101-000000-aaaa",)
        await pilot.press("tab")
        await settle(pilot)
        assert source.asked[-1].watched == ("250101-000002-aaaa",)

    play(source, scenario, rest_s=60.0)


def test_marked_runs_are_drawn_over_one_another_until_escape() -> None:
    source = FakeSource([make_run(i) for i in range(3)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "space")
        await settle(pilot)
        first = app.screen.query_one("#first", Chart)
        assert titles(app) == ["OOD", "ID", "loss"]
        assert [each.name for each in first.plot.series] == ["run 0", "run 1"]
        assert len({each.style for each in first.plot.series}) == 2
        assert [line[0] for line in screen_lines(app)[3:6]] == ["●", "▲", " "]
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen.query_one(RunTable).marked == ()
        assert titles(app) == ["accuracy", "domains", "loss"]

    play(source, scenario)


def test_a_filter_asks_history_and_a_bad_one_is_refused_in_words() -> None:
    source = FakeSource([make_run(0)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("f", *"dropuot>1", "enter")
        await settle(pilot)
        assert source.asked[-1].query.conditions == ()
        lines = screen_lines(app)
        assert "dropuot>1" in lines[1]
        assert "No field 'dropuot'" in lines[2]
        await pilot.press("escape")
        await pilot.press("f", *"seed>=1", "enter")
        await settle(pilot)
        assert source.asked[-1].query.parameters == (1.0,)
        assert "filter seed>=1" in screen_lines(app)[1]
        await pilot.press("escape")
        await settle(pilot)
        assert source.asked[-1].query.conditions == ()

    play(source, scenario)


def test_the_order_goes_through_fields_and_turns_round() -> None:
    source = FakeSource([make_run(0)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("o")
        await settle(pilot)
        assert "OOD ▾" in screen_lines(app)[2]
        assert "DESC" in source.asked[-1].query.order_by
        await pilot.press("O")
        await settle(pilot)
        assert "OOD ▴" in screen_lines(app)[2]

    play(source, scenario)


def test_a_hundred_thousand_runs_are_read_a_page_at_a_time() -> None:
    source = FakeSource([], count=100_000)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("G")
        await settle(pilot)
        assert any("run 99999" in line for line in screen_lines(app))
        await pilot.press("g")
        await settle(pilot)
        assert any("run 0 " in line for line in screen_lines(app))
        assert max(asked.limit for asked in source.asked) <= 100

    play(source, scenario)


def test_a_click_moves_the_cursor_and_a_second_one_opens_the_run() -> None:
    source = FakeSource([make_run(i) for i in range(5)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.click(RunTable, offset=(5, 3))
        await settle(pilot)
        assert source.asked[-1].watched == ("250101-000002-aaaa",)
        await pilot.double_click(RunTable, offset=(5, 4))
        await settle(pilot)
        assert source.asked[-1].opened == "250101-000003-aaaa"
        assert "run 3  250101-000003-aaaa" in screen_lines(app)[0]
        await pilot.press("escape")
        await settle(pilot)
        assert source.asked[-1].opened is None

    play(source, scenario)


@SIZES
def test_the_plane_takes_the_place_of_the_curves(size: tuple[int, int]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await settle(pilot)
        lines = screen_lines(app)
        assert any("ID–OOD plane  3 points  ● λ 0  ▲ λ 0.9" in line for line in lines)
        assert any("◉" in line for line in lines)
        assert not any("accuracy  last  70.0% ID" in line for line in lines)
        await pilot.press("1")
        await settle(pilot)
        assert any("accuracy  last  70.0% ID" in line for line in screen_lines(app))

    play(FakeSource([make_run(i) for i in range(3)]), scenario, size=size)


def test_a_query_that_is_too_long_ends_in_an_ellipsis() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        long_name = "run_and_a_name_that_leaves_no_room_for_more_on_the_line"
        await pilot.press("f", *f"name:{long_name}", "enter")
        await settle(pilot)
        line = screen_lines(app)[1].rstrip()
        assert line.startswith(" 3 of 3 runs · filter name:run_and")
        assert "… · all: emoji" in line

    play(FakeSource([make_run(at) for at in range(3)]), scenario, size=(80, 24))


def test_trash_and_undo() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "space", "ctrl+d", "n")
        await settle(pilot)
        assert actions.done == [], "several runs: asks first"
        await pilot.press("ctrl+d", "y")
        await settle(pilot)
        await pilot.press("z")
        await settle(pilot)
        await pilot.press("z")
        await settle(pilot)

    play(FakeSource([make_run(i) for i in range(3)]), scenario, actions=actions)
    both = ("250101-000000-aaaa", "250101-000001-aaaa")
    assert actions.done == [("trash", *both), ("restore", *both)]


@pytest.mark.parametrize("marked", [0, 2])
def test_after_undo_the_cursor_is_on_the_run_that_is_back(marked: int) -> None:
    source = FakeSource([make_run(i) for i in range(5)])
    every_run = list(source.runs)

    class Trash(FakeActions):
        def trash(self, run_ids: Sequence[str]) -> str:
            source.runs = [run for run in source.runs if run.run_id not in run_ids]
            source.count = len(source.runs)
            return super().trash(run_ids)

        def restore(self, run_ids: Sequence[str]) -> str:
            source.runs, source.count = every_run, len(every_run)
            return super().restore(run_ids)

    actions = Trash()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("j", *["space"] * marked, "ctrl+d", *"y" * (marked > 1))
        await settle(pilot)
        assert len(source.runs) == 5 - max(1, marked)
        await pilot.press("z")
        await settle(pilot)
        assert len(source.runs) == 5
        assert app.home.run == every_run[1]
        await pilot.press("ctrl+d")
        await settle(pilot)

    play(source, scenario, actions=actions)
    assert actions.done[-1] == ("trash", every_run[1].run_id)


def test_killing_asks_first() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("K", "n")
        await settle(pilot)
        assert actions.done == []
        await pilot.press("K", "y")
        await settle(pilot)
        await pilot.press("S")
        await settle(pilot)

    play(FakeSource([make_run(0, status="running")]), scenario, actions=actions)
    assert actions.done == [("kill", "250101-000000-aaaa"), ("interrupt", "250101-000000-aaaa")]


def test_a_run_that_has_ended_is_not_asked_about_before_it_is_refused() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("K")
        await settle(pilot)
        assert app.screen is app.home
        (said,) = app._notifications
        assert said.message == "run 0 has no process to kill: it is finished."

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert actions.done == []


def test_labels_that_are_unusable_stay_in_the_dialog_and_a_changed_note_is_not_lost() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("t", *"-x y", "enter")
        await settle(pilot)
        assert "The tag '-x' must not start with '+' or '-'." in "\n".join(screen_lines(app))
        await pilot.press("escape", "t", *"la")
        await settle(pilot)
        assert "tags in use: best, later, paper" in "\n".join(screen_lines(app))
        assert "␊" not in "\n".join(screen_lines(app))
        await pilot.press("tab", "enter")
        await settle(pilot)
        await pilot.press("f2", *"/y", "enter")
        await settle(pilot)
        assert "must not contain '/'" in "\n".join(screen_lines(app))
        await pilot.press("escape", "e", "a", "escape", "n", "b", "escape", "y")
        await settle(pilot)
        assert app.screen is app.home

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert actions.done == [("tags", "250101-000000-aaaa", "later")]


def test_a_note_is_seen_in_the_list_and_on_the_run() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert "✎ warm start [b]helps[/b] …" in "\n".join(screen_lines(app))
        await pilot.press("enter")
        await settle(pilot)
        assert screen_lines(app)[1].strip() == "✎ warm start [b]helps[/b] …"

    run = make_run(0, note="warm start [b]helps[/b]\nmore")
    play(FakeSource([run, make_run(1)]), scenario, size=(200, 50))


def test_tags_are_added_to_all_marked_runs() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("space", "space", "t", *"good", "enter")
        await settle(pilot)

    play(FakeSource([make_run(i) for i in range(3)]), scenario, actions=actions)
    assert actions.done == [("tags", "250101-000000-aaaa", "250101-000001-aaaa", "good")]


def test_what_cannot_be_done_is_said() -> None:
    actions = FakeActions()
    actions.refusal = "Run [b]1[/b] still runs."

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("r")
        await settle(pilot)
        (said,) = app._notifications
        assert (said.message, said.severity) == (actions.refusal, "error")

    play(FakeSource([make_run(0)]), scenario, actions=actions)


def test_tags_and_note_are_asked_for() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("t", *"best, try", "enter")
        await settle(pilot)
        await pilot.press("e", *"why", "enter", *"so", "ctrl+s")
        await settle(pilot)
        await pilot.press("e", "escape")
        await pilot.press("f2", *"!", "enter")
        await settle(pilot)

    play(FakeSource([make_run(0, tags=("old",))]), scenario, actions=actions)
    run_id = "250101-000000-aaaa"
    assert actions.done == [
        ("tags", run_id, "old", "best", "try"),
        ("note", run_id, "why\nso"),
        ("name", run_id, "run 0!"),
    ]


def test_an_empty_history_says_how_to_begin() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert any("No runs yet" in line for line in screen_lines(app))
        await pilot.press("space", "enter", "r", "ctrl+d", "j", "G")
        await settle(pilot)

    play(FakeSource([]), scenario, size=(80, 24))


def test_text_from_outside_is_shown_as_it_is() -> None:
    hostile = make_run(0, name="[red]x[/red]\x1b[2J\u202e", status="crashed", error="[b]why\x07")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        text = "\n".join(screen_lines(app))
        assert "[red]x[/red]␛[2" in text
        assert "crashed  r resumes  [b]why␇" in text
        assert "\x1b" not in text

    play(FakeSource([hostile]), scenario, size=(200, 50))


def test_a_problem_with_history_is_told_and_the_last_state_stays() -> None:
    source = FakeSource([make_run(0)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        source.problem = "vld.db is locked by another program; try again."
        await pilot.press("o")
        await settle(pilot)
        lines = screen_lines(app)
        assert "locked by another program" in lines[0]
        assert any("run 0" in line for line in lines)

    play(source, scenario, size=(160, 40))


def test_a_terminal_made_tiny_and_large_again() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(20, 5)
        await settle(pilot)
        await pilot.press("j", "i", "x")
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert any("run 1" in line for line in screen_lines(app))

    play(FakeSource([make_run(i) for i in range(3)]), scenario)


def test_leaving_lets_go_of_history() -> None:
    source = FakeSource([make_run(0)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("q")

    play(source, scenario)
    assert source.closed


def test_the_log_of_a_run_is_a_key_away() -> None:
    source, actions = FakeSource([make_run(0, status="running")]), FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("S", "L")
        await settle(pilot)
        assert source.asked[-1].opened == source.runs[0].run_id
        assert any(
            "a line of the log" in line or "training 200/200" in line for line in screen_lines(app)
        )
        assert app.screen.query_one("TabbedContent").active == "log-pane"  # type: ignore[attr-defined]
        await pilot.press("escape")
        await settle(pilot)
        assert source.asked[-1].opened is None

    play(source, scenario, actions=actions)
    assert actions.done == [("interrupt", source.runs[0].run_id)]


def test_a_run_that_is_asked_for_twice_is_opened_once() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)
        table.action_open()
        table.action_open()
        await settle(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is app.home

    play(FakeSource([make_run(0)]), scenario)


def test_a_click_where_marks_stand_marks_a_run_and_takes_its_mark_away() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)
        await pilot.click(RunTable, offset=(0, 2))
        await settle(pilot)
        assert table.marked == ("250101-000001-aaaa",)
        await pilot.click(RunTable, offset=(0, 2))
        await settle(pilot)
        assert not table.marked

    play(FakeSource([make_run(i) for i in range(3)]), scenario)


def test_curves_are_filtered_by_name() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        chart = app.screen.query_one("#second", Chart)
        chart.focus()
        await pilot.press("slash", *"NOT", "enter")
        await settle(pilot)
        assert [each.name for each in chart.plot.series] == ["noto"]
        await pilot.press("slash", *["backspace"] * 3, "enter")
        await settle(pilot)
        assert [each.name for each in chart.plot.series] == ["fluent-mono", "noto"]

    play(FakeSource([make_run(0)]), scenario)


def test_the_charts_of_a_screen_show_the_same_steps_and_the_cursor() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        first, _, third = app.screen.query(Chart)
        ends = {(chart.plot.across.low, chart.plot.across.high) for chart in (first, third)}
        assert ends == {(0, 200)}, "the loss begins at step 50"
        await pilot.click(third, offset=(7 + (third.size.width - 8) // 2, 4))
        await settle(pilot)
        assert [chart.plot.view.cursor for chart in (first, third)] == [100, 100]
        await pilot.press("plus", "s")
        await settle(pilot)
        assert first.plot.across == third.plot.across
        assert (first.plot.view.smoothing, third.plot.view.smoothing) == (0, 0.6)

    play(FakeSource([make_run(0)]), scenario)


def test_the_times_of_steps_are_read_once_they_are_needed() -> None:
    source = FakeSource([make_run(0)])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        before = source.asked[-1].times
        app.screen.query(Chart).first().focus()
        await pilot.press("W")
        await settle(pilot)
        assert (before, source.asked[-1].times) == (False, True)
        assert any("no recorded times" in line for line in screen_lines(app))
        await pilot.press("3", "escape")
        await settle(pilot)
        assert (source.asked[-1].queue, source.asked[-1].times) == (False, True)

    play(source, scenario)


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        (make_run(0), "accuracy  nothing recorded yet"),
        (make_run(0, status="stopped", step=0), "stopped at step 0; r starts it again"),
        (make_run(0, status="failed", step=9), "failed at step 9; r resumes it"),
        (make_run(0, status="queued", step=0), "queued"),
    ],
)
def test_a_run_without_values_shows_why(run: Run, shown: str) -> None:
    source = FakeSource([run])
    taken = source.take

    def take(interest: Interest) -> Snapshot:
        snapshot = taken(interest)
        return replace(
            snapshot, watched=tuple(replace(each, curves={}) for each in snapshot.watched)
        )

    source.take = take  # type: ignore[method-assign]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert sum(chart.display for chart in app.screen.query(Chart)) <= 1
        assert any(shown in line for line in screen_lines(app)[4:])

    play(source, scenario)


def test_groups_without_a_finished_run_say_that_only_finished_runs_count() -> None:
    run = make_run(0, status="stopped")
    source = FakeSource([run])
    taken = source.take

    def take(interest: Interest) -> Snapshot:
        snapshot = taken(interest)
        rows = tuple(
            replace(row, summary=msgspec.structs.replace(row.summary, statuses={"stopped": 1}))
            if isinstance(row, GroupRow)
            else row
            for row in snapshot.rows
        )
        return replace(snapshot, points=(), rows=rows)

    source.take = take  # type: ignore[method-assign]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("b", "enter", "2")
        await settle(pilot)
        lines = screen_lines(app)
        assert "± sd over seeds, finished runs only" in lines[1]
        assert any("no group has a finished run yet" in line for line in lines)

    play(source, scenario)


def test_a_long_error_of_a_filter_is_shown_in_full() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("f")
        line = app.screen.query_one(FilterLine)
        line.remark("word " * 25 + "end", is_wrong=True)
        await settle(pilot)
        assert any(shown.rstrip().endswith("word end") for shown in screen_lines(app))

    play(FakeSource([make_run(0)]), scenario, size=(80, 24))


def test_columns_stay_while_the_phase_of_a_run_changes() -> None:
    def cells(phase: Phase | None, step: int = 0) -> int:
        run = make_run(0, status="running", step=step, phase=phase)
        return len(RUN_COLUMNS["progress"].of_run(run, (), 0.0))

    assert cells(None) == cells(Phase("timing_precisions", 3, 4)) == cells(None, 50)
    assert cells(None) == cells(Phase("evaluating", 10, 840, "noto"), 50)


def test_a_click_on_the_two_cells_at_the_left_edge_marks() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)
        for x, marked in ((1, 1), (0, 0), (2, 0)):
            await pilot.click(RunTable, offset=(x, HEADING_ROWS))
            await settle(pilot)
            assert len(table.marked) == marked

    play(FakeSource([make_run(0)]), scenario)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_an_empty_home_shows_the_example_whole_and_offers_no_actions_on_runs(
    size: tuple[int, int],
) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        lines = screen_lines(app)
        for line in WELCOME.splitlines():
            assert any(line in each for each in lines)
        assert "enter run the example" in lines[-1]
        assert "? help" in lines[-1]
        assert "resume" not in lines[-1]

    play(FakeSource([]), scenario, size=size)


def test_the_first_run_of_an_empty_home_has_the_focus() -> None:
    source = FakeSource([])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        source.runs, source.count = [make_run(0), make_run(1)], 2
        for _ in range(20):
            await settle(pilot)
            if app.screen.query_one(RunTable).display:
                break
        await pilot.press("space")
        assert len(app.screen.query_one(RunTable).marked) == 1

    play(source, scenario)


def test_leaving_the_plane_returns_the_focus_to_the_list() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await settle(pilot)
        await pilot.press("tab")
        assert app.screen.focused is not app.screen.query_one(RunTable)
        await pilot.press("1", "space")
        assert len(app.screen.query_one(RunTable).marked) == 1

    play(FakeSource([make_run(0), make_run(1)]), scenario)


@pytest.mark.parametrize("note", ["a\tb\r\nc\x1b[31m", "a\u202eb"])
def test_a_changed_note_keeps_its_characters(note: str) -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("e", "ctrl+s", "e", "!")
        await settle(pilot)
        shown = "\n".join(screen_lines(app))
        assert ("c␛[31m!" in shown) or ("a�b!" in shown)
        await pilot.press("ctrl+s")
        await settle(pilot)

    play(FakeSource([make_run(0, note=note)]), scenario, actions=actions)
    assert actions.done == [("note", "250101-000000-aaaa", f"{note}!")]
