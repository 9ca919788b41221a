"""The live view of a run."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.protocol import (
    CollapseDetected,
    CombinationSpec,
    RunSpec,
    RunTask,
    spec_of,
)
from vld_tui.runs.progress import Progress
from vld_tui.views.accuracies import accuracy_table
from vld_tui.views.combined import notices, progress_label
from vld_tui.views.event_lines import collapse_line, recovery_line
from vld_tui.views.phase import STARTING, TRAINING, phase_line
from vld_tui.views.plan import plan_table
from vld_tui.words.numbers import duration, rate
from vld_tui.words.palette import ALARM_STYLE, GREEN, ID_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

_MIN_BAR_CELLS = 10


def preparing_view(
    task: RunTask,
    progress: Progress,
    *,
    seconds: float,
    notice: str = "",
) -> RenderableType:
    """Return the known part of the plan, the phase of preparation, and the notice."""
    phase = f"  {current_phase(spec_of(task), progress)} … {duration(seconds)}"
    parts: list[RenderableType] = [plan_table(task, progress), Text("")]
    parts.append(Text(phase, style=QUIET_STYLE))
    if notice:
        parts += [Text(""), Text(f"  {notice}", style="bold")]
    return Group(*parts)


def training_view(
    task: RunTask,
    progress: Progress,
    *,
    now: float,
    cells: int,
    notice: str = "",
) -> RenderableType:
    """Return progress, loss and accuracies at Unix time ``now`` in ``cells`` columns.

    ``notice`` is shown below, such as the effect of a second Ctrl-C.
    """
    bar = _progress_line(task, progress, now, cells)
    parts: list[RenderableType] = [bar, Text("")]
    parts += notice_views(task, progress)
    if progress.collapse is not None:
        parts += [collapse_notice(progress, progress.collapse), Text("")]
    parts.append(accuracy_table(task, progress, cells))
    if notice:
        parts += [Text(""), Text(f"  {notice}", style="bold")]
    return Group(*parts)


def current_phase(spec: RunSpec, progress: Progress) -> str:
    """Return the phase of a run as text: the reported one, else what follows from other events."""
    if progress.started is None:
        return STARTING
    if progress.phase is not None:
        return phase_line(progress.phase.as_phase())
    if progress.model is None:
        return "reading the images" if progress.data is None else _phase_of_network(progress)
    if progress.head is None and spec.head_steps and progress.step == 0:
        return "training the last layer on cached features"
    if progress.head is not None and not progress.evaluations:
        return "evaluating the last layer"
    return "running the first steps" if progress.latest is None else TRAINING


def _phase_of_network(progress: Progress) -> str:
    features = progress.features
    if features is not None and features.done < features.total:
        return f"computing features of {features.done:,} of {features.total:,} images and views"
    return "preparing the network and measuring its speed"


def notice_views(task: RunTask, progress: Progress) -> list[RenderableType]:
    """Return warnings about a run's numbers."""
    parts: list[RenderableType] = []
    for line in notices(task, progress):
        parts += [Padding(Text(line, style=ALARM_STYLE), (0, 2)), Text("")]
    return parts


def collapse_notice(progress: Progress, collapse: CollapseDetected) -> RenderableType:
    """Return a collapse with advice, or that it is over."""
    if progress.recovered_step is not None:
        line = recovery_line(collapse, progress.recovered_step)
        return Padding(Text(line, style=QUIET_STYLE), (0, 2))
    text = Text(collapse_line(collapse), style=ALARM_STYLE)
    text.append(f"\n{plain_text(collapse.advice)}", style="default not bold")
    return Padding(text, (0, 2))


def _progress_line(task: RunTask, progress: Progress, now: float, cells: int) -> RenderableType:
    spec, latest = spec_of(task), progress.latest
    if isinstance(task, CombinationSpec):
        facts = [progress_label(progress.step, task)]
        if progress.parents:
            facts = [f"{len(progress.parents)} of {spec.steps} evaluated alone"]
    elif latest is None:
        waited = f" … {duration(now - progress.heard_at)}" if progress.heard_at else ""
        facts = [current_phase(spec, progress) + waited]
    else:
        share = f"{100 * progress.step // spec.steps}%"
        facts = [
            f"{progress.step:,}/{spec.steps:,} steps {share}",
            f"{rate(latest.steps_per_s)} steps/s",
            f"{rate(latest.images_per_s)} images/s",
        ]
        if progress.phase is not None and progress.phase.phase != TRAINING:
            facts.append(current_phase(spec, progress))
    left = progress.seconds_left(now)
    if left is not None:
        facts.append(f"{duration(left)} left")
    line = " · ".join(facts)
    bar = ProgressBar(
        total=spec.steps,
        completed=progress.step,
        width=max(_MIN_BAR_CELLS, min(60, cells - len(line) - 5)),
        complete_style=ID_STYLE,
        finished_style=GREEN,
    )
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(" "), bar, Text(line, no_wrap=True, overflow="ellipsis"))
    return grid
