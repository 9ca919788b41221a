"""Going through the evaluations of a run on its screen: mistakes and confusions follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.protocol.diagnostics import Diagnosis, FindingTable
from engine.protocol.neighbours import NEIGHBOUR_COLUMNS, NEIGHBOURS
from engine.rundir import StoredDiagnoses
from engine.rundir.step_predictions import StepPredictionsFile
from tests.made_predictions import keep_steps, predictions_with
from tests.vld_tui.dashboard.fake_history import (
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
    settle_until,
)
from tests.vld_tui.dashboard.run_facts import FULL, full_detail, make_progress, picture
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.shown_predictions import StepCursor
from vld_tui.dashboard.widgets.shown_step import StepLine
from vld_tui.runs.run_folder import FolderContents

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
SELECTED = predictions_with({1, 9}, picture=picture())


@pytest.fixture
def contents(tmp_path: Path) -> FolderContents:
    path = tmp_path / "predictions.bin"
    keep_steps(path, {0: {0, 1, 5, 9}, 50: {1}, 100: {1, 9}, 150: {2}})
    stored = StepPredictionsFile.open(path)
    return replace(FULL, predictions=SELECTED, step_predictions=stored)


def one_run(contents: FolderContents) -> FakeSource:
    source = FakeSource([make_run(0)])
    made = full_detail(contents)
    progress = make_progress(100)
    source.detail = lambda curves: replace(made(curves), progress=progress)
    return source


async def open_tab(pilot: Pilot[None], key: str) -> None:
    await pilot.press("enter")
    await settle(pilot)
    await pilot.press(key)
    await settle(pilot)


def on_screen(app: Dashboard) -> str:
    return "\n".join(screen_lines(app))


async def sees(app: Dashboard, pilot: Pilot[None], text: str) -> None:
    await settle_until(pilot, lambda: text in on_screen(app))
    assert text in on_screen(app)


@SIZES
def test_mistakes_follow_the_step(size: tuple[int, int], contents: FolderContents) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        await sees(app, pilot, "1–2 of 2 misclassified target images at step 100")
        assert "3 of 4 · ◆ selected" in on_screen(app)
        await pilot.press("{")
        await sees(app, pilot, "1–1 of 1 misclassified target images at step 50")
        assert "◆ selected: 100 (key 0)" in on_screen(app)
        await pilot.press("{", "{", "{")
        await sees(app, pilot, "of 4 misclassified target images at step 0")
        await pilot.press("}", "}", "}")
        await sees(app, pilot, "1–1 of 1 misclassified target images at step 150")
        await pilot.press("0")
        await sees(app, pilot, "1–2 of 2 misclassified target images at step 100")

    play(one_run(contents), scenario, size=size)


def test_confusions_and_other_tabs_follow(contents: FolderContents) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "2")
        await sees(app, pilot, "step 100, 2 classes")
        await pilot.press("{", "{")
        await sees(app, pilot, "step 0, 2 classes (selected: step 100)")
        assert "confusions of sketch (target in)" in on_screen(app)
        await pilot.press("4")
        await sees(app, pilot, "of 4 misclassified target images at step 0")

    play(one_run(contents), scenario, size=(160, 40))


def test_a_click_goes_to_a_step(contents: FolderContents) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        await sees(app, pilot, "3 of 4")
        start = len("step 100") + 2
        await pilot.click(StepLine, offset=(start, 0))
        await sees(app, pilot, "of 4 misclassified target images at step 0")

    play(one_run(contents), scenario)


def test_a_damaged_step_says_so_and_others_are_shown(contents: FolderContents) -> None:
    stored = contents.step_predictions
    assert stored is not None
    data = bytearray(stored.path.read_bytes())
    data[stored.blocks[50].start + 12] ^= 1
    stored.path.write_bytes(data)

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        await pilot.press("{")
        await sees(app, pilot, "The predictions of step 50 cannot be read")
        await pilot.press("{")
        await sees(app, pilot, "of 4 misclassified target images at step 0")

    play(one_run(contents), scenario)


def test_runs_of_earlier_versions_show_the_selected_step(contents: FolderContents) -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        await pilot.press("{", "}", "0")
        await settle(pilot)
        await sees(app, pilot, "of 2 misclassified target images at step 100")
        assert "{" not in on_screen(app)

    play(one_run(replace(contents, step_predictions=None)), scenario)


def test_the_nearest_training_images_are_those_of_their_step(contents: FolderContents) -> None:
    rows = tuple((f"sketch/{at}.png", f"photo/{at}.png", "dog", 0.1) for at in range(10))
    diagnosis = Diagnosis(
        diagnostic=NEIGHBOURS, arm="erm", step=100, checkpoint="", data_digest="",
        tables={NEIGHBOURS: FindingTable("", NEIGHBOUR_COLUMNS, rows)},
    )  # fmt: skip
    known = replace(contents, diagnoses=StoredDiagnoses({NEIGHBOURS: diagnosis}))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_tab(pilot, "4")
        await sees(app, pilot, "· nearest: dog")
        await pilot.press("{")
        await sees(app, pilot, "misclassified target images at step 50")
        assert "nearest" not in on_screen(app)

    play(one_run(known), scenario)


def test_a_step_that_was_removed_meanwhile_has_no_predictions() -> None:
    found = StepCursor().read(50)
    assert found.predictions is None
    assert found.problem == "The predictions of step 50 cannot be read: no predictions of step 50"
