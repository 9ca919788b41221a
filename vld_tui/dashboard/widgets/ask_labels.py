"""Dialogs for the labels of runs: name, tags and note."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.suggester import Suggester
from textual.widgets import Input, Static, TextArea

from engine.protocol import UserError
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.ask import confirm
from vld_tui.dashboard.widgets.dialog import Dialog
from vld_tui.dashboard.widgets.form import CompletingInput
from vld_tui.dashboard.widgets.key_bar import KeyBar
from vld_tui.store.labels import check_name, typed_tags
from vld_tui.words.palette import ALARM_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_characters, plain_text, shorten

KNOWN_CELLS: Final = 600
"""Characters of the list of existing tags."""


class _Checked(Dialog[str | None]):
    """Asks for a line of text that is checked while it is typed; ``esc`` returns None."""

    DEFAULT_CSS = "_Checked > .frame { width: 78; padding: 1 2 0 2; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("accept", "enter", "accept", "accept", show=True, priority=True),
        bind("back", "escape", "dismiss(None)", "back", show=True),
    ]

    def __init__(self, question: str, answer: str, suggester: Suggester | None = None) -> None:
        super().__init__()
        self._question, self._answer, self._suggester = question, answer, suggester

    def compose(self) -> ComposeResult:
        """Lay the question out above its answer and the remark on it."""
        with Vertical(classes="frame"):
            yield Static(self._question, markup=False)
            yield CompletingInput(self._answer, suggester=self._suggester, select_on_focus=False)
            yield Static(id="remark")
            yield KeyBar()

    def on_mount(self) -> None:
        """Show the remark on the present answer."""
        self._show()

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Show the remark on the answer."""
        self._show()

    def action_accept(self) -> None:
        """Return the answer, if valid."""
        answer = self.query_one(Input).value.strip()
        try:
            self.remark(answer)
        except UserError:  # shown below the answer
            return
        self.dismiss(answer)

    def remark(self, text: str) -> str:
        """Return a remark on an answer.

        Raises:
            UserError: when it is unusable.
        """
        raise NotImplementedError

    def _show(self) -> None:
        try:
            remark = self.remark(self.query_one(Input).value.strip())
            said = Text(plain_text(remark, keep_newlines=True), QUIET_STYLE)
        except UserError as error:
            said = Text(plain_text(str(error)), ALARM_STYLE)
        self.query_one("#remark", Static).update(said)


class AskName(_Checked):
    """Asks for the name of a run."""

    def remark(self, text: str) -> str:
        """Check the name."""
        check_name(text)
        return ""


class AskTags(_Checked):
    """Asks for the tags of one run or several, completing those in use.

    ``before`` are the tags that are shown, ``known`` returns those in use; it may block.
    """

    def __init__(
        self, question: str, before: Sequence[str], known: Callable[[], list[str]]
    ) -> None:
        answer = " ".join(before)
        self._tags = _KnownTags()
        super().__init__(question, f"{answer} " if answer else "", self._tags)
        self._before, self._known = tuple(before), known

    def on_mount(self) -> None:
        """Look up the tags in use."""
        super().on_mount()
        self._look_up()

    def remark(self, text: str) -> str:
        """Return what the answer changes, and the tags in use."""
        after = typed_tags(text, self._before)(self._before)
        added = [tag for tag in after if tag not in self._before]
        removed = [tag for tag in self._before if tag not in after]
        changes = [f"{sign} {' '.join(tags)}" for sign, tags in (("+", added), ("−", removed))
                   if tags]  # fmt: skip
        known = ", ".join(self._tags.known)
        return "\n".join(
            [
                f"change: {'   '.join(changes)}" if changes else "no change",
                f"tags in use: {shorten(known, KNOWN_CELLS)}" if known else "no tags in use",
                "separate tags by spaces or commas · +tag -tag adds or removes · tab completes",
            ]
        )

    @work(thread=True)
    def _look_up(self) -> None:
        try:
            known = self._known()
        except UserError:  # the tags can be typed all the same
            return
        self.app.call_from_thread(self._learn, known)

    def _learn(self, known: list[str]) -> None:
        self._tags.known = known
        if self.is_attached:
            self._show()


class _KnownTags(Suggester):
    """Completes the last tag of a list."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.known: list[str] = []

    async def get_suggestion(self, value: str) -> str | None:
        """Return the text with its last tag completed; None: no tag starts like it."""
        *_, last = value.replace(",", " ").split(" ")
        word = last.lstrip("+-")
        found = (tag for tag in self.known if word and tag.startswith(word))
        tag = next(found, None)
        return None if tag is None else value + tag[len(word) :]


class _NoteArea(TextArea):
    """An editor of any text: characters that could control a terminal are kept, and drawn as
    signs."""

    def get_line(self, line_index: int) -> Text:
        """Return a line as it is drawn: one character for each of the text."""
        return Text(plain_characters(self.document.get_line(line_index)), end="", no_wrap=True)


class AskNote(Dialog[str | None]):
    """Asks for a text of several lines; returns None if it is unchanged."""

    DEFAULT_CSS = """
    AskNote > .frame { width: 90; height: 60%; min-height: 10; padding: 1 2 0 2; }
    AskNote TextArea { height: 1fr; border: none; padding: 0 1; background: $boost; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind(
            "save-note", "ctrl+s,ctrl+enter", "save", "save", show=True,
            priority=True,
        ),
        bind("back", "escape", "leave", "back", show=True, priority=True),
    ]  # fmt: skip

    def __init__(self, question: str, note: str) -> None:
        super().__init__()
        self._question, self._area = question, _NoteArea(note)
        self._before = self._area.text  # with its line ends

    def compose(self) -> ComposeResult:
        """Lay the question out above the text."""
        with Vertical(classes="frame"):
            yield Static(self._question, markup=False)
            yield self._area
            yield KeyBar()

    def on_mount(self) -> None:
        """Write at the end of the text."""
        self._area.move_cursor(self._area.document.end)
        self._area.focus()

    def action_save(self) -> None:
        """Return the text."""
        text = self._area.text
        self.dismiss(None if text == self._before else text.rstrip())

    def action_leave(self) -> None:
        """Leave without saving; ask first if the text was changed."""
        if self._area.text == self._before:
            self.dismiss(None)
        else:
            confirm(self.app, "Discard the changes to the note?", lambda: self.dismiss(None))
