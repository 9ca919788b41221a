"""Events of a run as plain lines for a log or a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.protocol import (
    ArmEvaluated,
    CollapseDetected,
    CombinationSpec,
    DataPrepared,
    Evaluated,
    Event,
    HeadTrained,
    ModelPrepared,
    RunFailed,
    RunFinished,
    RunSpec,
    RunStarted,
    RunStopped,
    RunTask,
    StepsTaken,
    spec_of,
)
from vld_tui.runs.progress import Progress, domain_accuracy
from vld_tui.views.combined import combining_lines, has_choice, place_label, step_label
from vld_tui.views.plan import plan_rows
from vld_tui.words.numbers import decimal, duration, id_words, percent, plural, rate
from vld_tui.words.palette import COLLAPSED_SIGN
from vld_tui.words.text import plain_text

_WITHOUT_SPEC: Final = ("network", "weights", "layout", "left out", "sources", "caution")
"""Rows of a plan known from a damaged run's events when its settings are unreadable."""


def event_lines(task: RunTask, progress: Progress, event: Event) -> list[str]:
    """Return the lines of ``event``; ``progress`` already includes it.

    Minor events, such as checkpoints, have none.
    """
    lines: list[str] = []
    match event:
        case RunStarted(resumed_step=int(step)):
            lines = [f"resumed at {place_label(step, task)}"]
        case DataPrepared(skipped=skipped):
            lines = [f"left out, unreadable: {plain_text(path)}" for path in skipped]
        case ModelPrepared():
            rows = plan_rows(task, progress)
            told = (row for row in rows if _is_known(spec_of(task)) or row[0] in _WITHOUT_SPEC)
            lines = [f"{label:<9} {line}" for label, line in told]
        case HeadTrained():
            found = f"{plural(event.steps, 'step')} · loss {decimal(event.loss)}"
            lines = [f"last layer trained: {found} · {duration(event.wall_s)}"]
        case StepsTaken():
            lines = [_steps_line(task, event)]
        case Evaluated():
            lines = [_evaluation_line(task, progress, event)]
            if progress.collapse is not None and progress.recovered_step == event.step:
                lines.append(recovery_line(progress.collapse, event.step))
        case ArmEvaluated():
            lines = [_arm_line(task, event)]
        case CollapseDetected():
            lines = [collapse_line(event), plain_text(event.advice)]
        case _:
            lines = combining_lines(task, event)
    return lines


def story_lines(task: RunTask, progress: Progress, event: Event) -> list[str]:
    """Return the lines of ``event``, and how the run ended if it is the last."""
    lines = event_lines(task, progress, event)
    if progress.end is event:
        status = str(event.__struct_config__.tag).removeprefix("run_")
        lines.append(closing_line(task, progress, status=status))
    return lines


def collapse_line(collapse: CollapseDetected) -> str:
    """Return a collapse as one line of plain text."""
    return (
        f"{COLLAPSED_SIGN} collapsed at step {collapse.step:,}: {percent(collapse.share)} of the "
        f"validation images are predicted as {plain_text(collapse.predicted_class)!r}, "
        f"loss {decimal(collapse.loss, 2)} (class entropy {decimal(collapse.class_entropy, 2)})"
    )


def recovery_line(collapse: CollapseDetected, recovered_step: int) -> str:
    """Return a collapse that is over as one line of plain text."""
    return f"collapsed at step {collapse.step:,}, recovered by step {recovered_step:,}"


def _arm_line(task: RunTask, event: ArmEvaluated) -> str:
    parts = [
        id_words(event.id_accuracy, event.plain_id_accuracy),
        f"OOD {percent(event.ood_accuracy)}",
    ]
    best = " · best ID so far" if event.is_best else ""
    step = _step(task, event.step)
    return f"{step}  {plain_text(event.arm)}: {' · '.join(parts)}{best}"


def closing_line(
    task: RunTask, progress: Progress, *, status: str, gives_reason: bool = True
) -> str:
    """Return in one line of plain text how the run ended, and why it failed unless that follows."""
    parts = [status]
    is_known, selected = _is_known(spec_of(task)), progress.selected
    match progress.end:
        case RunFinished() as end:
            parts[0] += f" in {duration(end.wall_s)}"
        case RunStopped() as end:
            parts[0] += f" at {place_label(end.step, task, of_all=is_known)}"
        case RunFailed(step=None):
            parts[0] += f" after {place_label(progress.step, task)}"
        case RunFailed(step=int(step)):
            parts[0] += f" at {place_label(step, task)}"
        case None:
            parts[0] += f" after {place_label(progress.step, task, of_all=is_known)}"
    if isinstance(progress.end, RunFailed) and gives_reason:
        parts[0] += f": {plain_text(progress.end.message)}"
    if selected is not None:
        parts += _reached(task, selected.step, selected)
    elif isinstance(progress.end, RunFinished):  # its evaluations were not read
        parts += _reached(task, progress.end.selected_step, progress.end)
    if any(barrier.is_barrier for barrier in progress.barriers):
        parts.append("loss barrier")
    return " · ".join(parts)


def _reached(task: RunTask, step: int, judged: Evaluated | RunFinished) -> Iterator[str]:
    """Yield the selected step and its accuracies."""
    if has_choice(task):
        yield f"selected {step_label(step, task)}"
    yield id_words(judged.id_accuracy, judged.plain_id_accuracy)
    yield f"OOD {percent(judged.ood_accuracy)}"


def _steps_line(task: RunTask, event: StepsTaken) -> str:
    return (
        f"{_step(task, event.step)}  loss {decimal(event.loss)} "
        f"· {rate(event.steps_per_s)} steps/s · {rate(event.images_per_s)} images/s "
        f"· {duration(event.seconds_left)} left"
    )


def _evaluation_line(task: RunTask, progress: Progress, event: Evaluated) -> str:
    parts = [
        id_words(event.id_accuracy, event.plain_id_accuracy),
        f"OOD {percent(event.ood_accuracy)}",
    ]
    for domain, is_target in progress.domains():
        accuracy = domain_accuracy(event, domain, is_target=is_target)
        parts.append(f"{plain_text(domain)} {percent(accuracy)}")
    best = " · best ID so far" if event.is_best and has_choice(task) else ""
    return f"{_step(task, event.step)}  {' · '.join(parts)}{best}"


def _step(task: RunTask, step: int) -> str:
    if isinstance(task, CombinationSpec) or not _is_known(task):
        return step_label(step, task)
    total = f"{task.steps:,}"
    return f"step {step:>{len(total)},}/{total}"


def _is_known(spec: RunSpec) -> bool:
    """Return whether these are a run's settings, not placeholders of a damaged run."""
    return spec.model != ""
