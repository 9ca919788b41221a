"""One run: its curves, everything known of it, its log."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static, TabbedContent, TabPane

from vld_tui.feed import RunDetail
from vld_tui.messages import SnapshotTaken
from vld_tui.views.detail import run_detail
from vld_tui.views.text import plain_text
from vld_tui.widgets.curves import Curves


class RunScreen(Screen[None]):
    """All of a run, as it goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.close_run", "back"),
        Binding("1", "pane('curves')", "curves", show=False),
        Binding("2", "pane('everything')", "everything", show=False),
        Binding("3", "pane('log')", "log", show=False),
        Binding("l", "pane('log')", "log", show=False),
    ]

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id
        self._shown: RunDetail | None = None

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield Static(id="status")
        with TabbedContent():
            with TabPane("Curves", id="curves"):
                yield Curves()
            with TabPane("Everything", id="everything"), VerticalScroll():
                yield Static(id="detail")
            with TabPane("Log", id="log"), VerticalScroll(id="lines"):
                yield Static(id="log-text")
        yield Footer(compact=True, show_command_palette=False)

    def action_pane(self, pane: str) -> None:
        """Show a pane."""
        self.query_one(TabbedContent).active = pane

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show how the run stands now."""
        opened = message.snapshot.opened
        if opened is None or opened.curves.run.run_id != self.run_id or opened is self._shown:
            return
        self._shown = opened
        run = opened.curves.run
        self.query_one("#status", Static).update(
            Text(f" {plain_text(run.name)}  {run.run_id}", "bold", no_wrap=True)
        )
        self.query_one(Curves).show((opened.curves,))
        self.query_one("#detail", Static).update(
            run_detail(
                run,
                opened.progress,
                attempts=opened.attempts,
                checkpoints=opened.checkpoints,
                folder=opened.folder,
                cells=max(40, self.size.width - 4),
            )
        )
        lines = "\n".join(plain_text(line) for line in opened.curves.log)
        self.query_one("#log-text", Static).update(Text(lines or "Nothing yet."))
