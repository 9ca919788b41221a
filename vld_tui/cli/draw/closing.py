"""The closing table of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from engine.protocol import RunFinished, RunTask
from vld_tui.runs.progress import Progress
from vld_tui.views.accuracies import accuracy_views
from vld_tui.views.lines import closing_line
from vld_tui.views.live import collapse_notice, notice_views
from vld_tui.words.numbers import size
from vld_tui.words.palette import HEADING_STYLE, QUIET_STYLE, STATUS_SIGNS, STATUS_STYLES
from vld_tui.words.text import fit, plain_text, width

_SHORT_COMMAND_CELLS: Final = 32


def closing_view(
    task: RunTask,
    progress: Progress,
    *,
    run_id: str,
    name: str,
    status: str,
    cells: int,
    gives_reason: bool = True,
) -> RenderableType:
    """Return the closing table: how it ended, the selected step, every accuracy, id and name."""
    headline = Text(f"{STATUS_SIGNS.get(status, '?')} ", style=STATUS_STYLES.get(status, ""))
    headline.append(
        closing_line(task, progress, status=status, gives_reason=gives_reason),
        style=HEADING_STYLE,
    )
    parts: list[RenderableType] = [headline, Text(""), *notice_views(progress)]
    if progress.collapse is not None:
        parts += [collapse_notice(progress, progress.collapse), Text("")]
    if progress.evaluations:
        parts += accuracy_views(task, progress, cells)
    footer = f"  run {plain_text(run_id)}  {plain_text(name)}"
    if isinstance(progress.end, RunFinished):
        footer += f" · peak memory {size(progress.end.peak_memory_bytes)}"
    parts.append(Text(footer, style=QUIET_STYLE))
    return Group(*parts)


def next_commands(commands: Sequence[tuple[str, str]]) -> Text:
    """Return suggested commands with their purposes.

    A long command gets its own line, so that it can be copied.
    """
    short = [width(command) for command, _ in commands if width(command) <= _SHORT_COMMAND_CELLS]
    cells = max(short, default=0)
    text = Text()
    for typed, purpose in commands:
        command = plain_text(typed)
        if width(command) <= cells:
            text.append(f"  {fit(command, cells)}   ")
        else:
            text.append(f"  {command}\n     ")
        text.append(f"{purpose}\n", style=QUIET_STYLE)
    text.rstrip()
    return text
