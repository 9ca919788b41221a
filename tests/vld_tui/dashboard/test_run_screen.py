"""The screen of one run, used by keys and mouse."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, TabbedContent

from engine.protocol import Combination, Parent, Predictions, resolve_spec
from engine.protocol.phases import Phase
from engine.rundir import StoredDiagnoses
from tests.made_diagnoses import make_diagnoses, make_diagnosis
from tests.made_predictions import predictions_with
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
    settle_until,
)
from tests.vld_tui.dashboard.run_facts import FULL, full_detail, make_predictions, picture
from vld_tui.control.flips import Partner
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.draw.log import WRITTEN_HEADING
from vld_tui.dashboard.screens.run import PANE_KEYS
from vld_tui.dashboard.widgets.confusions import ConfusionsView
from vld_tui.dashboard.widgets.log import LogLines, LogPane, SearchInput
from vld_tui.dashboard.widgets.run_panes import DiagnosesPane
from vld_tui.dashboard.widgets.samples import SamplesPane
from vld_tui.dashboard.widgets.tile import Tile
from vld_tui.runs.run_folder import FolderContents

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
HOSTILE = ("[red]a[/red]", "\x1b[2J\x07\u202e", "漢字" * 20)


def one_run(contents: FolderContents = FULL, **changes: object) -> FakeSource:
    source = FakeSource([make_run(0, **changes)])
    source.detail = full_detail(contents)
    return source


async def open_tab(pilot: Pilot[None], key: str) -> None:
    await pilot.press("enter")
    await settle(pilot)
    await pilot.press(key)
    await settle(pilot)


def on_screen(app: Dashboard) -> str:
    return "\n".join(screen_lines(app))


@SIZES
def test_every_tab_is_reached_by_its_number(size: tuple[int, int]) -> None:
    found = {
        "1": "accuracy  last  70.0% ID",
        "2": "target: OOD",
        "3": "changed from recipe default",
        "4": "of 30 misclassified target images",
        "5": "line 199 of the log",
        "6": "/somewhere",
        "7": "resumed at step 80",
    }

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        for key, text in found.items():
            await pilot.press(key)
            await settle(pilot)
            assert text in on_screen(app)
            focused = app.screen.focused
            assert focused is not None
            active = app.screen.query_one(TabbedContent).active_pane
            assert active in focused.ancestors_with_self
        await pilot.press("escape")
        await settle(pilot)
        assert "newest first" in on_screen(app) or "age ▴" in on_screen(app)

    play(one_run(), scenario, size=size)


def test_tabs_are_reached_by_mouse_and_arrows() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await pilot.click("#--content-tab-files-pane")
        await settle(pilot)
        tabs = app.screen.query_one(TabbedContent)
        assert tabs.active == "files-pane"
        await pilot.press("right")
        await settle(pilot)
        assert tabs.active == "timeline-pane"

    play(one_run(), scenario)


@SIZES
def test_classes_and_confusions(size: tuple[int, int]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "2")
        assert any(line.split()[:2] == ["food", "25.0%"] for line in screen_lines(app))
        await pilot.press("o", "o")
        await settle(pilot)
        assert "classes by name" in on_screen(app)
        await pilot.press("v")
        await settle(pilot)
        assert any(re.search(r"food +75 +· +25", line) for line in screen_lines(app))
        assert any(re.search(r"animal +face +food", line) for line in screen_lines(app))
        await pilot.press("[")
        await settle(pilot)
        assert "confusions of noto (out)" in on_screen(app)
        assert any(re.search(r"food +· +· +●", line) for line in screen_lines(app))

    play(one_run(), scenario, size=size)


def test_in_a_narrow_terminal_the_confusions_come_with_the_first_domain() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "2")
        for said in ("(target in)", "(target out)", "art (out)", "noto (out)", "(target in)"):
            await pilot.press("]")
            await settle(pilot)
            assert said in on_screen(app)

    play(one_run(), scenario, size=(80, 24))


@pytest.mark.parametrize(("size", "count"), [((80, 24), 345), ((120, 40), 65), ((200, 50), 345)])
def test_many_classes_scroll_and_their_confusions_are_a_list(
    size: tuple[int, int], count: int
) -> None:
    names = [f"class {at}" for at in range(count)]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "2")
        await pilot.press("G")
        await settle(pilot)
        assert f"class {count - 2} " in on_screen(app)
        await pilot.press("v")
        await settle(pilot)
        assert "of the class" in on_screen(app)
        assert "75.0%" in on_screen(app)

    play(one_run(replace(FULL, predictions=make_predictions(names))), scenario, size=size)


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (FolderContents(), "an older version ran this"),
        (FolderContents(predictions_problem="torn [b]\x1b"), "cannot be read: torn [b]␛"),
        (replace(FULL, predictions=Predictions(150, (), (), ())), "0 classes"),
    ],
)
def test_without_predictions_it_is_said_why(contents: FolderContents, said: str) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "2")
        await pilot.press("v", "]", "o")
        await settle(pilot)
        assert said in on_screen(app)
        await pilot.press("4", "right")
        await settle(pilot)
        assert not app.screen.query(Tile)

    play(one_run(contents), scenario)


@SIZES
def test_samples_are_drawn_a_page_at_a_time(size: tuple[int, int]) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        page = len(app.screen.query(Tile))
        assert page >= 2
        assert "true food · predicted animal 99.0%" in on_screen(app)
        lines = screen_lines(app)
        assert any(f"1–{page} of 30 misclassified target images" in line for line in lines)
        assert any("▀" * 16 in line for line in lines)
        assert any("→ animal 99%" in line for line in lines)
        for tile in app.screen.query(Tile):
            assert app.screen.query_one(SamplesPane).region.contains_region(tile.region)
        await pilot.press("right")
        await settle(pilot)
        assert "predicted animal 98.0%" in on_screen(app)
        await pilot.press("space")
        await settle(pilot)
        assert f"{page + 1}–" in on_screen(app)
        await pilot.press("pageup", "left")
        await settle(pilot)
        assert f"1–{page} of 30" in on_screen(app)
        await pilot.press("end")
        await settle(pilot)
        assert "–30 of 30" in on_screen(app)
        await pilot.press("enter")
        await settle(pilot)
        assert app.screen.query_one(Tile).size.height > page
        await pilot.press("escape")

    play(one_run(), scenario, size=size)


def test_a_cell_of_the_confusions_opens_its_images() -> None:
    predictions = predictions_with({0, 1, 5, 9}, picture=picture())

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "2")
        await pilot.press("v")
        await settle(pilot)
        if not isinstance(app.screen.focused, ConfusionsView):
            await pilot.press("v")
        await settle(pilot)
        spans = app.screen.query_one(ConfusionsView).text.spans
        assert any(span.style == "reverse" for span in spans)
        await pilot.press("enter")
        await settle(pilot)
        assert app.screen.query_one(TabbedContent).active == "samples-pane"
        assert "cat predicted as dog, sketch in: 2 of 5 images, 1–2 of 2" in on_screen(app)
        assert "sketch/0.png · sketch in" in on_screen(app)
        assert "predicted dog 90.0% · then cat 10.0%" in on_screen(app)
        await pilot.press("escape")
        await settle(pilot)
        assert "1–4 of 4 misclassified target images at step 100" in on_screen(app)
        await pilot.press("]")
        await settle(pilot)
        assert "1–1 of 1 misclassified photo images" in on_screen(app)

    play(one_run(replace(FULL, predictions=predictions)), scenario, size=(140, 40))


def test_fewer_images_than_mistakes_are_said_to_be_the_most_confident() -> None:
    predictions = make_predictions(wrong=5)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        said = "1–5 of the 5 most confident of 16 misclassified target images at step 150"
        assert said in on_screen(app)
        assert "its file name is not stored" in on_screen(app)

    play(one_run(replace(FULL, predictions=predictions)), scenario, size=(140, 40))


def test_a_picture_that_is_none_is_said_so() -> None:
    predictions = make_predictions(wrong=3)
    first, second, third = predictions.wrong
    change = msgspec.structs.replace
    broken = (change(first, picture=b"RIFFxxxxWEBP"), change(second, picture=b""), third)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        assert len(app.screen.query(Tile)) == 3
        assert sum(line.count("cannot be drawn") for line in screen_lines(app)) == 2

    contents = replace(FULL, predictions=change(predictions, wrong=broken))
    play(one_run(contents), scenario)


def test_without_colour_samples_are_grey_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        text = on_screen(app)
        assert "▀" not in text
        assert any(grey in text for grey in "█▓▒░")

    play(one_run(), scenario)


def test_the_log_is_followed_until_one_scrolls_up() -> None:
    source = one_run()
    logs = [FULL.log, (*FULL.log, "one more"), (*FULL.log, "one more", "and more")]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "5")
        assert "line 199 of the log" in on_screen(app)
        assert "· following (F)" in on_screen(app)
        pane = app.screen.query_one(LogPane)
        pane.show(logs[1], is_cut=False)
        await settle(pilot)
        assert "one more" in on_screen(app)
        await pilot.press("up", "up")
        await settle(pilot)
        assert "not following (F)" in on_screen(app)
        pane.show(logs[2], is_cut=True)
        await settle(pilot)
        assert "and more" not in on_screen(app)
        assert "earlier lines are only in the file" in on_screen(app)
        await pilot.press("F")
        await settle(pilot)
        assert "and more" in on_screen(app)
        await pilot.press("F")
        await settle(pilot)
        assert not app.screen.query_one(LogLines).is_followed

    play(source, scenario, size=(80, 24))


def test_the_log_is_searched() -> None:
    log = tuple(f"line {at}" + " [b]NaN\x1b" * (at % 50 == 10) for at in range(200))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "5")
        await pilot.press("slash", *"[b]nan", "enter")
        await settle(pilot)
        assert "“[b]nan” 1 of 4" in on_screen(app)
        assert "line 10 [b]NaN␛" in on_screen(app)
        await pilot.press("n")
        await settle(pilot)
        assert "2 of 4" in on_screen(app)
        assert "line 60 [b]NaN␛" in on_screen(app)
        await pilot.press("N", "N")
        await settle(pilot)
        assert "line 160 [b]NaN␛" in on_screen(app)
        await pilot.press("slash", *"absent", "enter")
        await settle(pilot)
        assert "not found" in on_screen(app)
        await pilot.press("n", "slash", "5", "escape")
        await settle(pilot)
        assert "/ to search" in on_screen(app)
        assert app.screen.query_one(Input).display is False

    play(one_run(replace(FULL, log=log)), scenario)


def test_the_log_is_what_the_run_told_and_what_its_process_wrote() -> None:
    contents = replace(FULL, log=("[b]a warning\x1b",))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "L")
        lines = [line.strip() for line in screen_lines(app)]
        first = lines.index("step 150/200  loss 1.480")
        assert lines[first + 2 : first + 5] == [
            "finished in 3m 20s", f"{WRITTEN_HEADING}", "┆ [b]a warning␛"
        ]  # fmt: skip
        for wanted in ("finished", "warning"):
            await pilot.press("slash", *wanted, "enter")
            await settle(pilot)
            assert "1 of 1" in on_screen(app)

    play(one_run(contents), scenario, size=(80, 24))


def test_the_log_of_a_run_that_wrote_nothing_is_what_it_told() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "L")
        assert "3 lines" in on_screen(app)
        assert "finished in 3m 20s" in on_screen(app)

    play(one_run(replace(FULL, log=())), scenario)


def test_configurations_are_compared() -> None:
    source = FakeSource(
        [
            make_run(0),
            make_run(
                1, name="[b]other", spec=resolve_spec({"dataset": "emoji", "dropout_rate": 0.5})
            ),
        ]
    )
    source.detail = full_detail()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("d")
        await settle(pilot)
        assert "[b]other" in on_screen(app)
        await pilot.press("enter")
        await settle(pilot)
        assert source.asked[-1].other == source.runs[1].run_id
        assert "1 field of" in on_screen(app)
        assert any(line.split() == ["dropout", "0.9", "0.5"] for line in screen_lines(app))
        await pilot.press("d")
        await settle(pilot)
        assert "changed from recipe" in on_screen(app)
        await pilot.press("escape")
        await settle(pilot)
        assert source.asked[-1].other is None

    actions = FakeActions()
    actions.others = [Partner(source.runs[1], "last run")]
    play(source, scenario, actions=actions)


def test_diagnostics_have_tabs_with_words_tables_and_drawings() -> None:
    contents = replace(FULL, diagnoses=make_diagnoses())

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "9")
        assert screen_lines(app)[3].strip() == "The target is far from the sources (AUC 0.98)."
        shown = on_screen(app)
        assert "Not computed yet: Effective robustness. To compute: D, or vld shift 25" in shown
        assert "0.980 (0.970–0.990)" in shown
        assert "error rate by images kept (%)" in shown
        assert "Accuracy with few units" not in shown
        await pilot.press("R")
        await settle(pilot)
        assert "accuracy by kept units (%)" in on_screen(app)
        assert "dotted: perfect" in on_screen(app)

    play(one_run(contents), scenario, size=(120, 70))


@pytest.mark.parametrize(
    ("key", "changes", "said"),
    [
        ("9", {}, "Not computed yet. To compute: D, or vld shift 250101-000000-aaaa"),
        ("R", {}, "Not computed yet. To compute: D, or vld rich 250101-000000-aaaa"),
        ("9", {"spec": resolve_spec({"target": "none"})},
         "The run has no target domain, so there is no shift to measure."),
        ("R", {"selected_step": None}, "They need the network of an evaluated step."),
        ("R", {"status": "running", "spec": resolve_spec({"diagnose": ["all"]})},
         "The run computes them after training."),
    ],
)  # fmt: skip
def test_a_line_says_what_computes_diagnostics(
    key: str, changes: dict[str, object], said: str
) -> None:
    source = one_run()
    source.runs[0] = msgspec.structs.replace(source.runs[0], **changes)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, key)
        assert said in on_screen(app)

    play(source, scenario, size=(120, 40))


def test_diagnostics_are_those_of_an_earlier_step_once_another_is_selected() -> None:
    diagnoses = StoredDiagnoses({"rank": make_diagnosis(step=10)}, {})
    source = one_run(replace(FULL, diagnoses=diagnoses))
    source.runs[0] = msgspec.structs.replace(source.runs[0], selected_step=10)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "R")
        pane = app.screen.query_one(DiagnosesPane)
        detail = pane._detail
        assert detail is not None
        assert "not the selected one" not in on_screen(app)
        run = msgspec.structs.replace(detail.curves.run, selected_step=20)
        pane.show_run(replace(detail, curves=replace(detail.curves, run=run)), "D")
        await settle(pilot)
        assert "of step 10, not the selected one" in on_screen(app)

    play(source, scenario, size=(120, 60))


def test_the_marked_runs_are_offered_for_comparison() -> None:
    source = FakeSource([make_run(0), make_run(1)])
    source.detail = full_detail()
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("j", "space", "g", "enter")
        await settle(pilot)
        await pilot.press("d")
        await settle(pilot)
        assert actions.done[-1] == ("partners", "250101-000000-aaaa", "250101-000001-aaaa")

    play(source, scenario, actions=actions)


def test_a_crashed_run_says_why_and_is_resumed_and_the_like() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        line = screen_lines(app)[1]
        assert "crashed at step 200  r resumes from step 160  [b]out of memory" in line
        await pilot.press("r", "S", "K", "n", "K", "y", "Q")
        await settle(pilot)
        await pilot.press("t", *"a b", "enter")
        await settle(pilot)
        await pilot.press("e", *"why", "ctrl+s")
        await settle(pilot)
        await pilot.press("c")
        await settle(pilot)
        assert "Clone of" in on_screen(app)

    source = one_run(status="crashed", error="[b]out of memory\nmore")
    play(source, scenario, actions=actions)
    run_id = source.runs[0].run_id
    assert actions.done == [
        ("resume", run_id), ("interrupt", run_id), ("kill", run_id), ("queue again", run_id),
        ("tags", run_id, "a", "b"), ("note", run_id, "why"),
    ]  # fmt: skip


REASON = "OutOfMemoryError: " + " ".join(f"[b]{at} GiB taken" for at in range(12)) + " the end"


def test_at_the_smallest_size_the_whole_reason_and_the_accuracies_are_read() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        for key in ("", "enter"):
            await pilot.press(*([key] if key else []))
            await settle(pilot)
            said = " ".join("".join(f"{line.rstrip()} " for line in screen_lines(app)).split())
            assert REASON in said
            assert "r resumes" in said
        assert "OOD 50.0%" in screen_lines(app)[0]
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert "250101-000000-aaaa" in screen_lines(app)[0]

    source = one_run(status="failed", error=f"{REASON}\nmore", name="a-name-of-some-length-s0")
    play(source, scenario, size=(80, 24))


def test_names_from_outside_are_shown_as_they_are() -> None:
    contents = replace(FULL, predictions=make_predictions(HOSTILE), log=("[b]x\x1b[2J\u202e",))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        for key in "1234567":
            await pilot.press(key)
            await settle(pilot)
            text = on_screen(app)
            assert "\x1b" not in text
            assert "\u202e" not in text
            if key in "24":
                assert "[red]a[/red]" in text
            if key == "5":
                assert "[b]x␛[2J\\u202e" in text

    play(one_run(contents, name="[b]n\x1b", note="[i]"), scenario, size=(80, 24))


def test_a_terminal_made_tiny_and_large_again() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        for key in PANE_KEYS.values():
            await pilot.press(key)
            await pilot.resize_terminal(20, 5)
            await pilot.resize_terminal(120, 40)
        await pilot.press("2")
        await settle(pilot)
        assert "food" in on_screen(app)

    play(one_run(), scenario)


async def press_at_once(app: Dashboard, pilot: Pilot[None], keys: str) -> None:
    """Press keys so fast that each is there before the one before was answered."""
    for key in keys:
        app.post_message(Key(key if key.isalnum() else "slash", key))
    await settle(pilot)


def test_keys_right_after_another_tab_act_on_it() -> None:
    actions = FakeActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await press_at_once(app, pilot, "s")
        assert "smooth 0.6" in on_screen(app)
        await press_at_once(app, pilot, "5/pIK")
        assert app.screen.query_one(SearchInput).value == "pIK"
        await pilot.press("enter")
        await press_at_once(app, pilot, "2oo")
        assert "classes by name" in on_screen(app)
        await press_at_once(app, pilot, "5F")
        assert "not following (F)" in on_screen(app)
        await press_at_once(app, pilot, "1s")
        assert "smooth 0.9" in on_screen(app)

    play(one_run(), scenario, actions=actions, size=(80, 24))
    assert actions.done == []


@SIZES
def test_a_run_that_combines_others_tells_how_and_which(size: tuple[int, int]) -> None:
    parents = (Parent("first\x1b", "/a"), Parent("[b]second", "/b"))
    source = one_run(
        combination=Combination(method="greedy_soup", parents=parents),
        spec=resolve_spec({"steps": 2}), arm="greedy_soup", step=2, steps=2,
        mixed_fields=("dropout_rate", "masks"),
    )  # fmt: skip

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert not any("0.9" in line for line in screen_lines(app) if "run 0" in line)
        await open_tab(pilot, "3")
        lines = screen_lines(app)
        assert "greedy soup · 2 of 2 networks tried" in lines[0]
        assert any("2 · first␛ · [b]second" in line for line in lines)
        assert any("method" in line and "greedy soup: average" in line for line in lines)
        mixed = []
        for _ in range(5):
            mixed += [line for line in screen_lines(app) if line.split()[1:2] == ["mixed"]]
            await pilot.press("pagedown")
            await settle(pilot)
        assert {line.split()[0] for line in mixed} == {"dropout", "masks"}

    play(source, scenario, size=size)


@SIZES
def test_a_run_without_values_yet_shows_what_it_is_doing(size: tuple[int, int]) -> None:
    phase = Phase("timing_precisions", 3, 4, "bf16 contiguous", 20.0, 7.0)
    run = make_run(
        0, status="running", step=0, selected_step=None, id_accuracy=None, ood_accuracy=None,
        phase=phase,
    )  # fmt: skip
    words = "timing precisions 3/4 (first run only) · 7s left"

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        assert "timing 3/4" in on_screen(app)
        await pilot.press("enter")
        await settle(pilot)
        assert on_screen(app).count(words) == 2, "in the header, and in place of empty charts"
        for key in ("2", "4", "5"):
            await pilot.press(key)
            await settle(pilot)
            assert on_screen(app).count("timing pre") >= 2

    play(FakeSource([run]), scenario, size=size)


def test_a_run_is_trashed_or_forgotten_from_its_screen() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("ctrl+d")
        await settle_until(pilot, lambda: app.screen is app.home)

    async def forgotten(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press("ctrl+d")
        await settle(pilot)
        assert "Forget run 0? Its folder is missing." in on_screen(app)
        await pilot.press("y")
        await settle_until(pilot, lambda: app.screen is app.home)

    for play_it, status in ((scenario, "finished"), (forgotten, "gone")):
        actions, source = FakeActions(), one_run(status=status)
        play(source, play_it, actions=actions)
        assert actions.done == [("trash", source.runs[0].run_id)]
