"""The files of a run, and the path of its folder to copy."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.binding import BindingType

from vld_tui.dashboard.feed import RunDetail
from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.run.scrolled import ScrolledText
from vld_tui.views.detail import run_files
from vld_tui.words.palette import QUIET_STYLE
from vld_tui.words.text import plain_text


class FilesPane(ScrolledText):
    """The run's folder, its checkpoints and other files."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("copy-path", "y", "copy_path", "copy path", show=True)
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(classes="-folds", **settings)
        self._detail: RunDetail | None = None

    def show_run(self, detail: RunDetail) -> None:
        """Show a run's files."""
        self._detail = detail
        self._show()

    def on_resize(self) -> None:
        """Fit what is shown."""
        self._show()

    def action_copy_path(self) -> None:
        """Copy the folder's path to the terminal's clipboard."""
        if self._detail is not None:
            self.app.copy_to_clipboard(self._detail.folder)
            self.notify("Path copied to the clipboard (if the terminal supports it).")

    def _show(self) -> None:
        detail = self._detail
        if detail is None or self.size.width == 0:
            return
        text = Text(overflow="fold")
        text.append(f"{plain_text(detail.folder)}\n")
        text.append("y: copy this path\n\n", QUIET_STYLE)
        self.show(text.append_text(
            run_files(detail.contents.files, detail.checkpoints, self.text_cells)
        ))  # fmt: skip
