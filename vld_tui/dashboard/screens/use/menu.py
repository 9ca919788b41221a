"""The choice of what to do with a trained run, and the screens of what came out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text
from textual.app import App

from vld_tui.dashboard.messages import ActionAsked
from vld_tui.dashboard.screens.pick import Pick, PickOption
from vld_tui.dashboard.screens.predictions import PredictionsScreen
from vld_tui.dashboard.screens.suspects import SuspectsScreen
from vld_tui.dashboard.screens.use.screen import UseForm
from vld_tui.dashboard.screens.use.text import ResultScreen
from vld_tui.dashboard.use.orders import USES
from vld_tui.dashboard.use.results import (
    EvaluatedData,
    Exported,
    Predicted,
    SuspectsFound,
    UseResult,
    Uses,
)
from vld_tui.runs.run import Run
from vld_tui.views.evaluations import evaluation_text
from vld_tui.views.exported import exported_lines
from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.study.planner import Planner

STORED: Final = "stored suspects"


def ask_use(app: App[Any], run: Run, uses: Uses, actions: Actions, planner: Planner) -> None:
    """Ask what to do with a run, or which of the earlier results to show."""
    results = {f"result {at}": each for at, each in enumerate(uses.of_run(run.run_id))}

    def show_stored() -> str:
        app.post_message(UseForm.Made(actions.stored_suspects(run.run_id)))
        return ""

    def answered(chosen: str | None) -> None:
        if chosen in results:
            show_result(app, results[chosen], actions)
        if chosen == STORED:
            app.post_message(ActionAsked(show_stored))
        for kind in USES:
            if kind == chosen:
                app.push_screen(UseForm(kind, run, actions, planner, uses.typed.get(kind, {})))

    options = [
        *(PickOption(kind, (kind, about)) for kind, about in USES.items()),
        *(PickOption(name, ("result", each.title)) for name, each in results.items()),
    ]
    is_open = any(isinstance(each, SuspectsFound) for each in results.values())
    if not is_open and actions.has_suspects(run.run_id):
        options.append(PickOption(STORED, ("result", "the stored suspects of the run")))
    app.push_screen(Pick(f"Use {plain_text(run.label)}:", options, current="predict"), answered)


def show_result(app: App[Any], result: UseResult, actions: Actions) -> None:
    """Open the screen of a result."""
    if isinstance(result, Predicted):
        app.push_screen(PredictionsScreen(actions, result))
    elif isinstance(result, SuspectsFound):
        app.push_screen(SuspectsScreen(actions, result))
    elif isinstance(result, Exported):
        lines = [*exported_lines(result.network), *map(plain_text, result.notes)]
        text = Text("\n".join(lines), no_wrap=True)
        app.push_screen(ResultScreen(result.title, lambda _cells: text, result.network.folder))
    else:
        app.push_screen(ResultScreen(result.title, partial(_evaluation, result), result.path))


def _evaluation(result: EvaluatedData, cells: int) -> Text:
    """Return an evaluation in full, and where it is stored."""
    kept = result.kept
    text = evaluation_text(kept.evaluation, cells)
    where = kept.problem or f"stored: {kept.path}. It is shown in the tab Evaluations of the run."
    notes = [plain_text(each) for each in (where, *result.notes)]
    return text.append("\n\n").append("\n".join(notes), QUIET_STYLE)
