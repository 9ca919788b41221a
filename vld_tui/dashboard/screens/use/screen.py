"""The form of a use of a trained run, and its progress."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from engine.protocol import UserError
from engine.protocol.datasets import DatasetListing
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.screens.new_run.knowledge import dataset_words
from vld_tui.dashboard.screens.pick import Pick, PickOption
from vld_tui.dashboard.screens.use.fields import DATA, UseDraft, fields_of, read_texts
from vld_tui.dashboard.use.orders import USES, UseKind, UseOrder
from vld_tui.dashboard.use.results import UseResult
from vld_tui.dashboard.use.work import Work
from vld_tui.dashboard.widgets.ask import copy_command
from vld_tui.dashboard.widgets.dialog import Dialog
from vld_tui.dashboard.widgets.form import (
    NARROW_CELLS,
    FieldLine,
    FormLines,
    PickAsked,
    line_of,
    next_line,
)
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.runs.run import Run
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from vld_tui.dashboard.actions import Actions
    from vld_tui.study.planner import Planner

STARTING: Final = "starting the engine… (esc cancels)"
CANCELLING: Final = "cancelling…"
PATH_CELLS: Final = 60
"""Width of values, which may be long paths."""


class UseForm(Dialog[None]):
    """Fields, the equivalent command, and the progress of the work once it is started.

    ``esc`` cancels the work, or closes the form.
    """

    DEFAULT_CSS = """
    UseForm #form { width: 100%; max-width: 150; padding: 0; }
    UseForm.-narrow #form { border: none; padding: 0 1; }
    UseForm FormLines { height: auto; max-height: 1fr; }
    UseForm #title { height: 2; text-wrap: nowrap; text-overflow: ellipsis; }
    UseForm #foot { height: auto; border-top: solid $border; padding: 0 2; }
    UseForm #hint { height: 3; }
    UseForm #progress { height: auto; min-height: 1; max-height: 8; }
    UseForm #verdict { height: auto; min-height: 2; max-height: 4; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "escape", "back", "back", show=True),
        bind("launch", "ctrl+r", "start", "start", show=True, priority=True),
        bind("copy-command", "ctrl+y", "copy", "copy command", show=True, priority=True),
        bind("line-up", "up", "walk(-1)", "line up"),
        bind("line-down", "down,enter", "walk(1)", "line down"),
    ]

    @dataclass
    class Typed(Message):
        """The user typed other texts; they are kept for the next time."""

        kind: UseKind
        texts: Mapping[str, str]

    @dataclass
    class Made(Message):
        """The work ended with a result."""

        result: UseResult

    @dataclass
    class Failed(Message, bubble=False):
        """The work ended without a result."""

        problem: str
        notes: Sequence[str]

    @dataclass
    class Progressed(Message, bubble=False):
        """The work made progress."""

        text: str

    def __init__(
        self,
        kind: UseKind,
        run: Run,
        actions: Actions,
        planner: Planner,
        texts: Mapping[str, str],
    ) -> None:
        """``texts``: what was typed the last time."""
        super().__init__()
        self._kind, self._run = kind, run
        self._actions, self._planner = actions, planner
        self._fields = fields_of(kind, run)
        self._lines = {
            each.name: FieldLine(each.form_field, each.usual, texts.get(each.name))
            for each in self._fields
        }
        self._draft = UseDraft(None, {})
        self._work: Work | None = None

    def compose(self) -> ComposeResult:
        """Lay out the fields above the help, the progress and the command."""
        title = Text(f"  {self._kind}", HEADING_STYLE, no_wrap=True)
        title.append(f"  {USES[self._kind]} · {plain_text(self._run.label)}", QUIET_STYLE)
        with Vertical(id="form", classes="frame"):
            yield Static(title, id="title")
            with FormLines():
                yield from self._lines.values()
            with Vertical(id="foot"):
                yield Static(id="hint")
                yield Static(id="progress")
                yield Static(id="verdict")
            yield KeyBar()

    def on_mount(self) -> None:
        """Focus the first field."""
        self._check()
        next(iter(self._lines.values())).go()

    def on_unmount(self) -> None:
        """End the work's process."""
        if self._work is not None:
            self._work.cancel()

    def on_resize(self, event: events.Resize) -> None:
        """Divide the width between values and notes."""
        cells = max(NARROW_CELLS, min(PATH_CELLS, event.size.width // 2 - 6))
        for line in self._lines.values():
            line.value_cells = cells

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Check the form."""
        self._check()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Go to the next field."""
        self.action_walk(1)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Show the full help of the field."""
        line = line_of(event.widget)
        for field in self._fields:
            if line is self._lines[field.name]:
                hint = f"{field.option}  {field.help}"
                if field.is_path:
                    hint += " tab completes a path."
                self.query_one("#hint", Static).update(Text(hint, QUIET_STYLE))

    def on_pick_asked(self, message: PickAsked) -> None:
        """List the choices of a field."""
        field = next(each for each in self._fields if each.name == message.field)
        line = self._lines[field.name]
        pick = Pick(field.help, field.options, current=line.typed or field.usual)
        self.app.push_screen(pick, lambda value: None if value is None else line.put(value))
        if field.name == DATA:
            pick.set_choices([], "looking for data sets…")
            self._find_datasets(pick)

    @work(thread=True)
    def _find_datasets(self, pick: Pick) -> None:
        app = self.app
        try:
            choices, remark = data_choices(self._planner.datasets()), ""
        except UserError as error:
            choices, remark = [], str(error).splitlines()[0]
        app.call_from_thread(pick.set_choices, choices, remark)

    def action_walk(self, step: int) -> None:
        """Move to the next or previous field."""
        if self.focused is not None:
            line = next_line(self.focus_chain, self.focused, step)
            if isinstance(line, FieldLine):
                line.go()

    def action_back(self) -> None:
        """Cancel the work, or close the form."""
        if self._work is None:
            self.dismiss(None)
        else:
            self._work.cancel()
            self._say_progress(CANCELLING)

    def action_copy(self) -> None:
        """Copy the equivalent command."""
        copy_command(self, [self._command] if self._command else [])

    def action_start(self) -> None:
        """Start the work, if the form is valid."""
        if self._work is not None:
            return
        self._check()
        if self._draft.order is None:
            self._lines[next(iter(self._draft.problems))].go()
            return
        self.post_message(self.Typed(self._kind, self._texts))
        self._work = Work(lambda made: self.post_message(self.Progressed(made.text())))
        self._say_progress(STARTING)
        self.query_one(FormLines).disabled = True
        self._do(self._draft.order, self._work)

    @work(thread=True)
    def _do(self, order: UseOrder, job: Work) -> None:
        """Do the work, and show its result or why there is none."""
        try:
            result = self._actions.use(self._run.run_id, order, job)
        except UserError as error:
            self.post_message(self.Failed(str(error), job.notes))
        else:
            self.post_message(self.Made(result))

    def on_use_form_progressed(self, message: Progressed) -> None:
        """Show the progress."""
        self._say_progress(message.text)

    def on_use_form_made(self, _message: Made) -> None:
        """Make the form ready for another use."""
        self._end("", ())

    def on_use_form_failed(self, message: Failed) -> None:
        """Show why there is no result."""
        self._end(message.problem, message.notes)

    def _end(self, problem: str, notes: Sequence[str]) -> None:
        self._work = None
        self.query_one(FormLines).disabled = False
        next(iter(self._lines.values())).go()
        text = Text(plain_text(problem, keep_newlines=True), ALARM_STYLE if problem else "")
        for note in notes:
            text.append(f"{chr(10) if text else ''}{plain_text(note)}", "")
        self.query_one("#progress", Static).update(text)

    def _say_progress(self, text: str) -> None:
        if self._work is not None:
            shown = CANCELLING if self._work.is_cancelled else text
            self.query_one("#progress", Static).update(Text(shown))

    @property
    def _texts(self) -> dict[str, str]:
        """Return the typed texts."""
        texts = {name: line.typed for name, line in self._lines.items()}
        return {name: text for name, text in texts.items() if text is not None}

    @property
    def _command(self) -> str:
        order = self._draft.order
        return "" if order is None else shlex.join(order.words(self._run.run_id))

    def _check(self) -> None:
        """Read the form, and show what is wrong or the equivalent command."""
        self._draft = read_texts(self._kind, self._fields, self._texts)
        for name, line in self._lines.items():
            is_missing = line.typed is None and name in self._draft.problems
            line.say(problem=None if is_missing else self._draft.problems.get(name))
        verdict = Text(plain_text(self._command), QUIET_STYLE)
        self.query_one("#verdict", Static).update(verdict)


def data_choices(listings: Sequence[DatasetListing]) -> list[PickOption]:
    """Return the data sets on this machine."""
    return [
        PickOption(each.name, (each.name, dataset_words(each))) for each in listings if each.where
    ]
