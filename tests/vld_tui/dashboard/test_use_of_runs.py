"""Using a trained run from the dashboard: the form, its progress, and the predictions."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input

from engine.protocol import UserError
from engine.protocol.inference import Calibration, PredictionsMade
from engine.protocol.work import WorkNote, WorkProgress
from tests.made_evaluations import make_evaluation
from tests.vld_tui.dashboard.fake_history import (
    FakeActions,
    FakeSource,
    make_run,
    play,
    screen_lines,
    settle,
    settle_until,
)
from vld_tui.control.evaluate import KeptEvaluation
from vld_tui.control.predict import ClassProbability, ImagePrediction
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.screens.pick import Pick
from vld_tui.dashboard.screens.predictions import PredictionsScreen
from vld_tui.dashboard.screens.use.screen import UseForm
from vld_tui.dashboard.use.orders import EvaluateOrder, PredictOrder, UseOrder
from vld_tui.dashboard.use.results import EvaluatedData, Predicted, UseResult
from vld_tui.dashboard.use.work import CancelledError, Work
from vld_tui.dashboard.widgets.tile import Tile

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
MADE = PredictionsMade(
    30, 1, ("cat", "dog"), "dropout", 1.2, 0.7,
    Calibration("x", 1.2, 0.5, 0.4, {"msp": 0.7}, {"art": 100}), "cpu",
)  # fmt: skip


def predictions(folder: Path, count: int = 30) -> list[ImagePrediction]:
    """Return predictions for images; the margin shrinks with the number, the last is no image."""
    made = []
    for at in range(count):
        path = folder / f"{at:03}.png"
        probability = 0.99 - at / 100
        second = 0.01 + at / 200
        made.append(
            ImagePrediction(
                path=str(path), class_name="cat" if at % 3 else "dog", probability=probability,
                margin=probability - second,
                top=(ClassProbability("cat" if at % 3 else "dog", probability),
                     ClassProbability("cow", second)),
                ood_score=at / 40, is_ood=at >= 29, problem=None,
            )
        )  # fmt: skip
        if at < count - 1:
            Image.new("RGB", (40, 30), (8 * at % 256, 90, 200)).save(path)
    return made


class UsingActions(FakeActions):
    """Answers uses of runs with a result, when it may."""

    def __init__(self, found: Sequence[ImagePrediction] = ()) -> None:
        super().__init__()
        self.found = found
        self.may_end = threading.Event()
        self.may_end.set()
        self.progress: list[WorkProgress | WorkNote] = []
        self.problem: str | None = None
        self.works: list[Work] = []

    def use(self, run_id: str, order: UseOrder, work: Work) -> UseResult:
        self.done.append(("use", run_id, order))
        self.works.append(work)
        for report in self.progress:
            work.report(report)
        while not self.may_end.wait(0.01):
            if work.is_cancelled:
                raise CancelledError("cancelled")
        if self.problem is not None:
            raise UserError(self.problem)
        if isinstance(order, EvaluateOrder):
            kept = KeptEvaluation(make_evaluation({"art": 0.75}), Path("/runs/photos.json"))
            return EvaluatedData(run_id, order, kept, ["one image is unreadable"])
        assert isinstance(order, PredictOrder)
        return Predicted(run_id, order, self.found, MADE)

    def export_predictions(
        self, predictions: Sequence[ImagePrediction], path: str, *, top: int
    ) -> str:
        return self._do("export predictions", len(predictions), path, top)


async def open_form(pilot: Pilot[None], kind: str = "predict") -> None:
    """Open the form of a use of the first run."""
    await pilot.press("u")
    await settle(pilot)
    await pilot.press(*kind, "enter")
    await settle(pilot)


async def classify(app: Dashboard, pilot: Pilot[None], path: str = "/photos") -> None:
    """Classify images, and wait for the predictions."""
    await open_form(pilot)
    app.screen.query_one("#paths", Input).value = path
    await settle(pilot)
    await pilot.press("ctrl+r")
    await settle_until(pilot, lambda: isinstance(app.screen, PredictionsScreen))
    await settle(pilot)


def text_of(app: Dashboard) -> str:
    return "\n".join(screen_lines(app))


def test_the_form_spells_the_command_and_starts_it() -> None:
    actions = UsingActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await settle(pilot)
        await open_form(pilot)
        assert isinstance(app.screen, UseForm)
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert app.focused is app.screen.query_one("#paths"), "a path is needed"
        for name, text in {
            "paths": "'/my photos' /b", "top": "3", "ood": "msp", "min_probability": "0.5",
            "into": "/sorted", "at": "last",
        }.items():  # fmt: skip
            app.screen.query_one(f"#{name}", Input).value = text
        await settle(pilot)
        assert "vld predict 250101-000000-aaaa '/my photos' /b --top 3 --ood msp" in text_of(app)
        app.screen.query_one("#top", Input).value = "0"
        await settle(pilot)
        assert "must be a whole number" in text_of(app)
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert not actions.works
        app.screen.query_one("#top", Input).value = "3"
        await pilot.press("ctrl+r")
        await settle_until(pilot, lambda: isinstance(app.screen, PredictionsScreen))

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    order = PredictOrder(
        paths=("/my photos", "/b"), top=3, ood="msp", min_probability=0.5, into="/sorted", at="last"
    )
    assert ("use", make_run(0).run_id, order) in actions.done


def test_the_form_of_an_export_has_every_option_of_the_command() -> None:
    actions = UsingActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_form(pilot, "export")
        for name, text in {
            "to": "hub", "folder": "/out", "replaces": "yes", "push_to": "me/photos",
        }.items():  # fmt: skip
            app.screen.query_one(f"#{name}", Input).value = text
        await settle(pilot)
        assert "/out --to hub --force --push me/photos" in text_of(app)
        app.screen.query_one("#replaces", Input).value = "perhaps"
        await settle(pilot)
        assert "must be yes or no" in text_of(app)

    play(FakeSource([make_run(0)]), scenario, actions=actions)


def test_progress_is_shown_and_escape_cancels_then_closes() -> None:
    actions = UsingActions()
    actions.may_end.clear()
    actions.progress = [WorkNote("not calibrated"), WorkProgress("predicting", 40, 100, "images")]

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_form(pilot)
        app.screen.query_one("#paths", Input).value = "/photos"
        await settle(pilot)
        await pilot.press("ctrl+r")
        await settle_until(pilot, lambda: "predicting: 40/100 images" in text_of(app))
        await pilot.press("escape")
        await settle_until(pilot, lambda: "cancelled" in text_of(app))
        assert actions.works[0].is_cancelled
        assert "not calibrated" in text_of(app)
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is app.home
        await open_form(pilot)
        assert app.screen.query_one("#paths", Input).value == "/photos", "typed before"

    play(FakeSource([make_run(0)]), scenario, actions=actions)


def test_a_failure_is_a_sentence_in_the_form() -> None:
    actions = UsingActions()
    actions.problem = "No file or folder /photos."

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_form(pilot)
        app.screen.query_one("#paths", Input).value = "/photos"
        await settle(pilot)
        await pilot.press("ctrl+r")
        await settle_until(pilot, lambda: "No file or folder /photos." in text_of(app))
        assert isinstance(app.screen, UseForm)

    play(FakeSource([make_run(0)]), scenario, actions=actions)


def test_the_work_ends_with_the_dashboard() -> None:
    actions = UsingActions()
    actions.may_end.clear()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_form(pilot)
        app.screen.query_one("#paths", Input).value = "/photos"
        await settle(pilot)
        await pilot.press("ctrl+r")
        await settle_until(pilot, lambda: actions.works)

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert actions.works[0].is_cancelled


@SIZES
def test_predictions_are_pictures_doubtful_first(size: tuple[int, int], tmp_path: Path) -> None:
    actions = UsingActions(predictions(tmp_path))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await classify(app, pilot)
        page = len(app.screen.query(Tile))
        assert page >= 2
        assert f"1–{page} of 30 images, doubtful first" in text_of(app)
        assert "029.png" in text_of(app), "the current one"
        assert "▲" in text_of(app)
        await settle_until(pilot, lambda: any("▀" * 8 in line for line in screen_lines(app)))
        assert "cannot be drawn" in text_of(app)
        for tile in app.screen.query(Tile):
            assert app.screen.region.contains_region(tile.region)
        await pilot.press("right")
        await settle(pilot)
        assert "028.png" in text_of(app)
        await pilot.press("space")
        await settle(pilot)
        assert f"{page + 1}–" in text_of(app)
        assert len(app.screen.query(Tile)) <= page
        await pilot.press("G")
        await settle(pilot)
        assert "000.png" in text_of(app)
        await pilot.press("Y")
        assert app.clipboard == str(tmp_path / "000.png")
        await pilot.press("v")
        await settle(pilot)
        assert "probability" in text_of(app)
        assert not app.screen.query_one("TileGrid").display

    play(FakeSource([make_run(0)]), scenario, actions=actions, size=size)


def test_predictions_are_filtered_ordered_enlarged_and_exported(tmp_path: Path) -> None:
    actions = UsingActions(predictions(tmp_path))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await classify(app, pilot)
        await pilot.press("f")
        await settle(pilot)
        assert isinstance(app.screen, Pick)
        await pilot.press(*"dog", "enter")
        await settle(pilot)
        assert "of 10 images" in text_of(app)
        assert "027.png" in text_of(app)
        await pilot.press("o", "o")
        await settle(pilot)
        assert "as found" in text_of(app)
        assert "000.png" in text_of(app)
        await pilot.press("enter")
        await settle_until(pilot, lambda: any("▀" * 40 in line for line in screen_lines(app)))
        assert "dog 99.0%, cow 1.0% · margin 98.0%" in text_of(app)
        await pilot.press("escape", "w")
        await settle(pilot)
        await pilot.press(*"a.csv", "enter")
        await settle(pilot)

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    assert ("export predictions", 10, "a.csv", 1) in actions.done


@pytest.mark.parametrize("size", [(80, 24), (80, 14)])
def test_names_from_outside_are_shown_as_text(size: tuple[int, int]) -> None:
    name = "[b]x\x1b[2J\u202e"
    share = ClassProbability(name, 0.5)
    row = ImagePrediction(f"/{name}.png", name, 0.5, 0.0, (share, share), 0.1, True, None)
    broken = msgspec.structs.replace(row, problem=name, class_name=None, top=())
    actions = UsingActions([row, broken])

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await classify(app, pilot, f"'/{name}'")
        for key in ("right", "enter", "escape", "f", "escape"):
            assert "\x1b" not in text_of(app)
            assert "\u202e" not in text_of(app)
            await pilot.press(key)
            await settle(pilot)
        assert "[b]x␛[2J" in text_of(app)

    play(FakeSource([make_run(0)]), scenario, actions=actions, size=size)


def test_in_a_small_terminal_predictions_are_a_table(tmp_path: Path) -> None:
    actions = UsingActions(predictions(tmp_path))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await classify(app, pilot)
        assert not app.screen.query(Tile)
        assert ["028.png", "cat"] in [line.split()[:2] for line in screen_lines(app)]
        assert "029.png" in text_of(app)
        await pilot.press("down", "down")
        await settle(pilot)
        assert "027.png" in text_of(app)

    play(FakeSource([make_run(0)]), scenario, actions=actions, size=(80, 14))


def test_results_stay_while_the_dashboard_is_open(tmp_path: Path) -> None:
    actions = UsingActions(predictions(tmp_path))

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await classify(app, pilot)
        await pilot.press("escape", "escape")
        await settle(pilot)
        await pilot.press("u")
        await settle(pilot)
        assert "predictions for 30 images of /photos" in text_of(app)
        await pilot.press(*"result", "enter")
        await settle(pilot)
        assert isinstance(app.screen, PredictionsScreen)

    play(FakeSource([make_run(0)]), scenario, actions=actions)


def test_a_run_without_a_network_cannot_be_used() -> None:
    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await pilot.press("u")
        await settle(pilot)
        assert app.screen is app.home
        assert "no trained network" in [*app._notifications][-1].message

    play(FakeSource([make_run(0, selected_step=None, status="running")]), scenario)


def test_an_evaluation_on_a_known_data_set_is_shown() -> None:
    actions = UsingActions()

    async def scenario(app: Dashboard, pilot: Pilot[None]) -> None:
        await open_form(pilot, "evaluate")
        await pilot.press("enter")
        await settle_until(pilot, lambda: "objects-drawn" in text_of(app))
        assert "PACS" not in text_of(app), "not on this machine"
        await pilot.press("enter")
        await settle(pilot)
        app.screen.query_one("#domains", Input).value = "clip art, emoji"
        app.screen.query_one("#class_map", Input).value = "kitten=cat, other="
        await settle(pilot)
        assert "objects-drawn --domain 'clip art' --domain emoji" in text_of(app)
        app.screen.query_one("#class_map", Input).value = "kitten"
        await settle(pilot)
        assert "must be OLD=NEW" in text_of(app)
        app.screen.query_one("#class_map", Input).value = "kitten=cat, other="
        await pilot.press("ctrl+r")
        await settle_until(pilot, lambda: "75.0%" in text_of(app))
        await pilot.press("Y", "G")
        await settle(pilot)
        assert app.clipboard == "/runs/photos.json"
        assert "one image is unreadable" in text_of(app)

    play(FakeSource([make_run(0)]), scenario, actions=actions)
    order = EvaluateOrder(
        data="objects-drawn",
        domains=("clip art", "emoji"),
        class_map={"kitten": "cat", "other": ""},
    )
    assert ("use", make_run(0).run_id, order) in actions.done
