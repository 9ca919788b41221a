"""What a run came to, once it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from engine.protocol import Combination, RunFailed, RunFinished, RunSpec, RunStopped
from vld_tui.views.accuracies import accuracy_table
from vld_tui.views.combined import has_choice, progress_label, step_label
from vld_tui.views.live import collapse_notice, notice_views
from vld_tui.views.numbers import duration, percent, size
from vld_tui.views.palette import HEADING_STYLE, QUIET_STYLE, STATUS_SIGNS, STATUS_STYLES
from vld_tui.views.progress import Progress
from vld_tui.views.text import fit, plain_text, width

_SHORT_COMMAND_CELLS: Final = 32


def closing_view(
    spec: RunSpec,
    progress: Progress,
    *,
    run_id: str,
    name: str,
    status: str,
    cells: int,
    combination: Combination | None = None,
) -> RenderableType:
    """Return the closing table: how it ended, the selected step, every accuracy, id and name."""
    headline = Text(f"{STATUS_SIGNS.get(status, '?')} ", style=STATUS_STYLES.get(status, ""))
    headline.append(
        closing_line(spec, progress, status=status, combination=combination), style=HEADING_STYLE
    )
    parts: list[RenderableType] = [headline, Text(""), *notice_views(progress)]
    if progress.collapse is not None:
        parts += [collapse_notice(progress.collapse), Text("")]
    if progress.evaluations:
        parts += [accuracy_table(progress, cells, combination), Text("")]
    footer = f"  run {plain_text(run_id)}  {plain_text(name)}"
    if isinstance(progress.end, RunFinished):
        footer += f" · peak memory {size(progress.end.peak_memory_bytes)}"
    parts.append(Text(footer, style=QUIET_STYLE))
    return Group(*parts)


def closing_line(
    spec: RunSpec, progress: Progress, *, status: str, combination: Combination | None = None
) -> str:
    """Say in one line of plain text how the run ended."""
    parts = [status]
    selected = progress.selected
    match progress.end:
        case RunFinished() as end:
            parts[0] += f" in {duration(end.wall_s)}"
        case RunStopped() as end:
            parts[0] += f" at step {end.step:,} of {spec.steps:,}"
        case RunFailed() as end:
            parts[0] += f" after step {progress.step:,}: {plain_text(end.message)}"
        case None:
            parts[0] += f" after step {progress.step:,} of {spec.steps:,}"
    if combination is not None and isinstance(progress.end, RunStopped):
        parts[0] = f"{status} at {progress_label(progress.step, spec.steps, combination)}"
    if selected is not None:
        if has_choice(combination):
            parts.append(f"selected {step_label(selected.step, combination)}")
        parts += [f"ID {percent(selected.id_accuracy)}", f"OOD {percent(selected.ood_accuracy)}"]
    if any(barrier.is_barrier for barrier in progress.barriers):
        parts.append("over a barrier")
    return " · ".join(parts)


def next_commands(commands: Sequence[tuple[str, str]]) -> Text:
    """Return commands worth typing next, each with what it does.

    A long command has a line of its own, so that it can be copied whole.
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
