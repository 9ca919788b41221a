"""One run in tabs, from its curves to its diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static, TabbedContent, TabPane

from engine.protocol.embedded import location_of
from engine.protocol.neighbours import NEIGHBOURS
from vld_tui.dashboard.actions import Actions
from vld_tui.dashboard.draw.log import log_lines
from vld_tui.dashboard.feed import OtherRun, RunDetail
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.messages import MistakesAsked, OtherRunNamed, SnapshotTaken, StepAsked
from vld_tui.dashboard.screens.partner import partner_options
from vld_tui.dashboard.screens.pick import Pick, PickOption
from vld_tui.dashboard.screens.run_keys import RunKeys, forget_question
from vld_tui.dashboard.shown_predictions import StepCursor, StepRead
from vld_tui.dashboard.widgets.confusions import ConfusionsView
from vld_tui.dashboard.widgets.curves import CurveCharts
from vld_tui.dashboard.widgets.diagnosing import DiagnosingLine
from vld_tui.dashboard.widgets.dialog import OPENS_DIALOG
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.dashboard.widgets.log import LogPane
from vld_tui.dashboard.widgets.run_panes import (
    ConfigurationPane,
    DiagnosesPane,
    DomainsPane,
    EvaluationsPane,
    FilesPane,
)
from vld_tui.dashboard.widgets.samples import SamplesPane
from vld_tui.dashboard.widgets.text import ScrolledText
from vld_tui.runs.run import GONE, Run
from vld_tui.views.phase import activity
from vld_tui.views.run_columns import note_line
from vld_tui.views.run_status import run_heading, timeline, trouble_line
from vld_tui.words.palette import QUIET_STYLE, status_style

PANES: Final[Mapping[str, Callable[[], Widget]]] = {
    "curves": CurveCharts,
    "domains": DomainsPane,
    "configuration": ConfigurationPane,
    "samples": SamplesPane,
    "log": LogPane,
    "files": FilesPane,
    "timeline": partial(ScrolledText, id="moments", classes="-folds"),
    "evaluations": EvaluationsPane,
    "shift": partial(DiagnosesPane, "shift"),
    "representation": partial(DiagnosesPane, "rich"),
}
PANE_KEYS: Final = dict(zip(PANES, "123456789R", strict=True))
SHORT_LABELS: Final = {"configuration": "Config"}
"""Labels of panes whose names are too long for a narrow terminal."""


class RunScreen(RunKeys):
    """Everything about a run, updated while it runs."""

    AUTO_FOCUS = ""  # not the tabs: keys act on what the pane shows
    DEFAULT_CSS = """
    RunScreen #note { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    RunScreen #trouble { height: auto; max-height: 40%; padding: 0 1; }
    RunScreen ContentSwitcher, RunScreen TabPane { height: 1fr; padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "app.close_run", "back", show=True),
        *(
            bind(pane, f"{key},L" if pane == "log" else key, f"pane('{pane}')", pane)
            for pane, key in PANE_KEYS.items()
        ),
        bind("differences", "d", "differences", "differences", show=True),
        bind("mistakes", "M", "mistakes", "mistakes"),
        bind("resume", "r", "resume", "resume", show=True),
        bind("stop", "S", "interrupt", "stop", show=True),
        bind("kill", "K", "kill", "kill"),
        bind("queue-again", "Q", "queue_again", "queue run"),
        bind("clone", "c", "app.clone", "clone"),
        bind("use", "u", "use", "use", show=True),
        bind("diagnose", "D", "diagnose", "diagnose", show=True),
        bind("tags", "t", "tags", "tags"),
        bind("note", "e", "note", "note"),
        bind("rename", "f2", "rename", "rename"),
        bind("trash", "ctrl+d", "trash", "trash"),
        bind("undo", "z", "undo", "undo"),
    ]

    def __init__(self, actions: Actions, run_id: str, *, pane: str = "curves") -> None:
        super().__init__(actions)
        self.run_id, self._first_pane = run_id, pane
        self._detail: RunDetail | None = None
        self._other: OtherRun | None = None
        self._marked: tuple[str, ...] = ()
        self._filled: list[str] = []
        self._steps = StepCursor()

    @property
    def run(self) -> Run | None:
        """Return the run, once it is known."""
        return self._detail.curves.run if self._detail is not None else None

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield Static(id="status")
        yield Static(id="trouble")
        yield Static(id="note")
        with TabbedContent():
            for pane, key in PANE_KEYS.items():
                label = SHORT_LABELS.get(pane, pane.capitalize())
                yield TabPane(f"{key} {label}", id=f"{pane}-pane")
        yield DiagnosingLine()
        yield KeyBar()

    async def on_mount(self) -> None:
        """Show the requested pane, without an error line."""
        self.query_one("#trouble").display = self.query_one("#note").display = False
        await self.action_pane(self._first_pane)

    def on_resize(self) -> None:
        """Fit the heading."""
        if self._detail is not None:
            self._show_heading(self._detail)

    async def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """Fill a pane chosen with the mouse."""
        if event.pane.id is not None:
            await self._fill(event.pane.id.removesuffix("-pane"))

    async def action_pane(self, pane: str) -> None:
        """Show a pane and focus it."""
        await self._fill(pane)  # queued key presses wait for this, so nothing below may await
        self.set_focus(None)  # a hidden widget would pass its focus on later
        self.query_one(TabbedContent).active = f"{pane}-pane"
        self._focus_pane(pane)

    def action_trash(self) -> None:
        """Move the run to the trash, and return to the screen below."""
        from vld_tui.dashboard.widgets.ask import confirm  # not needed for the first frame

        if (run := self.run) is None:
            return

        def move() -> str:
            said = self._actions.trash((run.run_id,))
            self.app.call_from_thread(self._leave)
            return said

        if run.status == GONE:
            confirm(self.app, forget_question(run), partial(self._do, move))
        else:
            self._do(move)

    def _leave(self) -> None:
        if self.is_current:
            self.call_later(self.run_action, "app.close_run")

    async def action_differences(self) -> None:
        """Ask for a run to compare the configuration with, or show every field again."""
        is_shown = self.query_one(TabbedContent).active == "configuration-pane"
        await self.action_pane("configuration")
        if self._other is None:
            self._ask_other(lambda run_id: self.post_message(OtherRunNamed(run_id)))
        elif is_shown:
            self.post_message(OtherRunNamed(None))

    async def on_confusions_view_cell_opened(self, message: ConfusionsView.CellOpened) -> None:
        """Show the images of a cell of a confusion matrix."""
        await self.action_pane("samples")
        self.query_one(SamplesPane).show_cell(message.cell)

    def action_mistakes(self) -> None:
        """Ask for a run to compare the mistakes with."""
        self._ask_other(lambda other: self.post_message(MistakesAsked(self.run_id, other)))

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the present state of the run."""
        snapshot = message.snapshot
        others = [each.run.run_id for each in snapshot.watched if each.run.run_id != self.run_id]
        self._marked = tuple(others)
        opened = snapshot.opened
        if opened is None or opened.curves.run.run_id != self.run_id:
            return
        if opened is self._detail and snapshot.other == self._other:
            return
        self._detail, self._other = opened, snapshot.other
        if (step := self._steps.update(opened)) is not None:
            self._read_step(step)
        self._show_heading(opened)
        for pane in self._filled:
            self._show(pane)
        if self.focused is None:  # there was nothing to focus yet
            self._focus_pane(self.query_one(TabbedContent).active.removesuffix("-pane"))

    async def _fill(self, pane: str) -> None:
        """Create the content of a pane when it is first shown, so that a run opens faster."""
        holder = self.query_one(f"#{pane}-pane", TabPane)
        if not holder.children:
            await holder.mount(PANES[pane]())
            self._filled.append(pane)
            self._show(pane)

    def _show_heading(self, detail: RunDetail) -> None:
        run = detail.curves.run
        heading = run_heading(run, self.app.size.width, detail.progress)
        self.query_one("#status", Static).update(heading)
        contents = detail.contents
        line = trouble_line(run, detail.checkpoints, contents.suspended_pid, contents.stop_asked)
        if line is None and run.is_live:
            line = Text(activity(run), status_style(run.status), no_wrap=True, overflow="ellipsis")
        trouble = self.query_one("#trouble", Static)
        trouble.display = line is not None
        trouble.update(line or "")
        note = self.query_one("#note", Static)
        note.display = bool(run.note.strip())
        note.update(Text(note_line(run.note), QUIET_STYLE))
        self.show_keys()

    def _show(self, pane: str) -> None:
        """Update a pane."""
        if (detail := self._detail) is None:
            return
        run, contents = detail.curves.run, detail.contents
        match self.query_one(f"#{pane}-pane").children[0]:
            case CurveCharts() as curves:
                curves.show((detail.curves,))
            case DomainsPane() as domains:
                domains.show(detail, *self._steps.shown(detail))
            case ConfigurationPane() as configuration:
                configuration.show_run(detail, self._other)
            case SamplesPane() as samples:
                where = location_of(run.spec.dataset, run.spec.data_dir)
                samples.show(
                    *self._steps.shown(detail), doing=activity(run), folder=where,
                    nearest=contents.diagnoses.found.get(NEIGHBOURS),
                )  # fmt: skip
            case LogPane() as log:
                is_cut = detail.reported_is_cut or contents.log_is_cut
                reported = detail.reported or tuple(filter(None, [activity(run)]))
                log.show(log_lines(reported, contents.log), is_cut=is_cut)
            case FilesPane() as files:
                files.show_run(detail)
            case EvaluationsPane() as evaluations:
                evaluations.show_run(detail)
            case DiagnosesPane() as diagnoses:
                diagnoses.show_run(detail, self._key_of("diagnose"))
            case ScrolledText() as moments:
                moments.show(timeline(run, detail.attempts, detail.progress))

    def _key_of(self, binding_id: str) -> str:
        """Return the key of an action as it is shown."""
        bindings = (each.binding for each in self.active_bindings.values())
        found = (self.app.get_key_display(each) for each in bindings if each.id == binding_id)
        return next(found, "")

    def on_step_asked(self, message: StepAsked) -> None:
        """Show the predictions of another evaluation."""
        message.stop()
        if (step := self._steps.move(message)) is not None:
            self._read_step(step)
        self._show_predictions()

    @work(thread=True, exclusive=True, group="steps")
    def _read_step(self, step: int) -> None:
        """Read the predictions of a step, and show them if they are still wanted."""
        found = self._steps.read(step)
        self.app.call_from_thread(self._take_step, found)

    def _take_step(self, found: StepRead) -> None:
        if self._steps.take(found):
            self._show_predictions()

    def _show_predictions(self) -> None:
        for pane in {"domains", "samples"} & {*self._filled}:
            self._show(pane)

    def _focus_pane(self, pane: str) -> None:
        """Focus the first visible focusable widget of a pane."""
        within = self.query_one(f"#{pane}-pane").query("*").results(Widget)
        shown = (
            each for each in within if all(above.display for above in each.ancestors_with_self)
        )
        self.set_focus(next((each for each in shown if each.focusable), None))

    @work(thread=True, exclusive=True, group=OPENS_DIALOG)
    def _ask_other(self, then: Callable[[str], object]) -> None:
        """Ask for another run: the marked ones, the ERM twin and the last one come first."""
        partners = self._actions.partners(self.run_id, self._marked)
        self.app.call_from_thread(self._pick, partner_options(partners), then)

    def _pick(self, options: Sequence[PickOption], then: Callable[[str], object]) -> None:
        def answered(run_id: str | None) -> None:
            if run_id:
                then(run_id)

        if not options:
            self.notify("There is no other run to compare with.")
        elif self.is_current:
            pick = Pick("Compare with run:", options, current=options[0].value)
            self.app.push_screen(pick, answered)
