"""Events of a run as plain lines, and the last ones from the end of its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from engine.protocol import (
    ArmEvaluated,
    CollapseDetected,
    CombinationSpec,
    DataPrepared,
    Evaluated,
    Event,
    EventDecodeError,
    FeaturesComputed,
    HeadRefined,
    HeadTrained,
    ModelPrepared,
    PhaseReported,
    RunFailed,
    RunFinished,
    RunSpec,
    RunStarted,
    RunStopped,
    RunTask,
    SpecError,
    StepsTaken,
    decode_event,
    spec_of,
    task_of,
)
from engine.protocol.evaluated import BALANCED
from engine.protocol.phases import phase_label
from engine.protocol.selection import criterion_of, unless_accuracy
from engine.rundir import RunDir, plain_file
from vld_tui.runs.progress import Progress, domain_accuracy
from vld_tui.runs.run import Run
from vld_tui.runs.run_folder import read_events
from vld_tui.views.combined import combining_lines, has_choice, position_label, step_label
from vld_tui.views.plan import plan_rows
from vld_tui.words.numbers import (
    balanced_words,
    decimal,
    duration,
    id_words,
    percent,
    plural,
    rate,
    size,
)
from vld_tui.words.palette import COLLAPSED_SIGN
from vld_tui.words.text import plain_text

_WITHOUT_SPEC: Final = ("network", "weights", "layout", "left out", "sources", "caution")
"""Rows of a plan known from a damaged run's events when its settings are unreadable."""
MOST_BYTES: Final = 2**19
FIRST_BYTES: Final = 2**17
"""Bytes read first for a few lines."""
MOST_LINES: Final = 20_000
BEGINS_S: Final = 0.1
"""A phase reported earlier than this has just begun."""
REPEATED: Final = ("training", "evaluating", "averaging_weights", "saving_checkpoint")
"""Phases that are followed by other lines; they come again and again."""
HEAD_BYTES: Final = 2**16
"""Bytes at the start of a log that hold the run's domains."""


def event_lines(task: RunTask, progress: Progress, event: Event) -> list[str]:
    """Return the lines of ``event``; ``progress`` already includes it.

    Minor events, such as checkpoints, have none.
    """
    lines: list[str] = []
    match event:
        case RunStarted(resumed_step=int(step)):
            lines = [f"resumed at {position_label(step, task)}"]
        case DataPrepared(skipped=skipped):
            lines = [f"left out, unreadable: {plain_text(path)}" for path in skipped]
        case PhaseReported(elapsed_s=elapsed_s) if elapsed_s < BEGINS_S:
            phase = event.as_phase()
            lines = [] if phase.name in REPEATED else [f"{plain_text(phase_label(phase))} …"]
        case FeaturesComputed():
            lines = _features_lines(event)
        case ModelPrepared():
            rows = plan_rows(task, progress)
            told = (row for row in rows if _is_known(spec_of(task)) or row[0] in _WITHOUT_SPEC)
            lines = [f"{label:<9} {line}" for label, line in told]
        case HeadTrained() | HeadRefined():
            lines = [_last_layer_line(event)]
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


def _last_layer_line(event: HeadTrained | HeadRefined) -> str:
    verb, on = "trained", ""
    if isinstance(event, HeadRefined):
        verb, on = "refined", f" on {plural(event.images, 'image')}"
    found = f"{plural(event.steps, 'step')}{on} · loss {decimal(event.loss)}"
    return f"last layer {verb}: {found} · {duration(event.wall_s)}"


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


def _features_lines(event: FeaturesComputed) -> list[str]:
    images = f"{event.total:,} images and views"
    if event.done < event.total:
        return [f"computing features of {images}: {100 * event.done // event.total}%"]
    where = "cached" if event.reused == event.total else "computed"
    if 0 < event.reused < event.total:
        where = f"{event.reused:,} of them cached"
    facts = f"{where} · {size(event.size_bytes)} · {duration(event.wall_s)}"
    return [f"features of {images}: {facts}", *map(plain_text, event.notes)]


def _arm_line(task: RunTask, event: ArmEvaluated) -> str:
    parts = accuracy_words(event)
    best = _best_so_far(task) if event.is_best else ""
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
            parts[0] += f" at {position_label(end.step, task, of_all=is_known)}"
        case RunFailed(step=None):
            parts[0] += f" after {position_label(progress.step, task)}"
        case RunFailed(step=int(step)):
            parts[0] += f" at {position_label(step, task)}"
        case None:
            parts[0] += f" after {position_label(progress.step, task, of_all=is_known)}"
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
        yield f"selected {step_label(step, task)}{unless_accuracy(spec_of(task))}"
    if isinstance(judged, Evaluated):
        yield from accuracy_words(judged)
    else:
        yield id_words(judged.id_accuracy, judged.plain_id_accuracy)
        yield f"OOD {percent(judged.ood_accuracy)}"


def accuracy_words(event: Evaluated | ArmEvaluated) -> list[str]:
    """Return ID and OOD accuracy, then both balanced."""
    balanced = balanced_words(event.measures.get(BALANCED, (None, None)))
    return [
        id_words(event.id_accuracy, event.plain_id_accuracy),
        f"OOD {percent(event.ood_accuracy)}",
        *([balanced] if balanced else []),
    ]


def _steps_line(task: RunTask, event: StepsTaken) -> str:
    return (
        f"{_step(task, event.step)}  loss {decimal(event.loss)} "
        f"· {rate(event.steps_per_s)} steps/s · {rate(event.images_per_s)} images/s "
        f"· {duration(event.seconds_left)} left"
    )


def _evaluation_line(task: RunTask, progress: Progress, event: Evaluated) -> str:
    parts = accuracy_words(event)
    for domain, is_target in progress.domains():
        accuracy = domain_accuracy(event, domain, is_target=is_target)
        parts.append(f"{plain_text(domain)} {percent(accuracy)}")
    best = _best_so_far(task) if event.is_best and has_choice(task) else ""
    return f"{_step(task, event.step)}  {' · '.join(parts)}{best}"


def _best_so_far(task: RunTask) -> str:
    return f" · best {criterion_of(spec_of(task)).label} so far"


def _step(task: RunTask, step: int) -> str:
    if isinstance(task, CombinationSpec) or not _is_known(task):
        return step_label(step, task)
    total = f"{task.steps:,}"
    return f"step {step:>{len(total)},}/{total}"


def _is_known(spec: RunSpec) -> bool:
    """Return whether these are a run's settings, not placeholders of a damaged run."""
    return spec.model != ""


class EventTail:
    """The last lines of a run, to which new ones are added. Blocks, so use it in a worker.

    At most ``most_bytes`` are read at once; ``is_cut``: there are earlier lines.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most_bytes = path, most_bytes
        self._offset: int | None = None
        self._progress = Progress()
        self.lines: tuple[str, ...] = ()
        self.is_cut = False

    @property
    def offset(self) -> int:
        """Return the offset up to which the log was read."""
        return self._offset or 0

    @property
    def progress(self) -> Progress:
        """Return the run's progress from the events read."""
        return self._progress

    def read(self, task: RunTask) -> tuple[str, ...]:
        """Return the lines, the same object while there are no new ones."""
        with suppress(OSError):  # an unreadable log has nothing new
            size = self._path.stat().st_size
            if self._offset is None or not self._offset <= size <= self._offset + self._most_bytes:
                self._begin(size)
            self._take(task)
        return self.lines

    def _begin(self, size: int) -> None:
        """Start near the end of a log of ``size`` bytes, with the domains from its start."""
        self._offset = max(0, size - self._most_bytes)
        self._progress, self.lines, self.is_cut = Progress(), (), self._offset > 0
        if not self.is_cut:
            return
        with open(self._path, "rb", opener=plain_file) as file:
            head = file.read(HEAD_BYTES)
        for line in head.splitlines():
            with suppress(EventDecodeError):
                if isinstance(event := decode_event(line), DataPrepared):
                    self._progress = self._progress.after(event)
                    return

    def _take(self, task: RunTask) -> None:
        """Read new events; a line that starts before the offset is skipped."""
        batch = read_events(self._path, self._offset or 0)
        self._offset = batch.offset
        found: list[str] = []
        for event in batch.events:
            self._progress = self._progress.after(event)
            if self.is_cut:  # the best evaluation of all is unknown
                self._progress = msgspec.structs.replace(self._progress, evaluations=())
            found += story_lines(task, self._progress, event)
        if found:
            self.is_cut |= len(self.lines) + len(found) > MOST_LINES
            self.lines = (*self.lines, *found)[-MOST_LINES:]


def last_told(path: Path, task: RunTask, count: int) -> EventTail:
    """Return the tail of a log with its last ``count`` lines, or fewer.

    Only the needed part of the log is read.
    """
    most_bytes = FIRST_BYTES
    while True:
        tail = EventTail(path, most_bytes=most_bytes)
        lines = tail.read(task)
        if len(lines) >= min(count, MOST_LINES) or not tail.is_cut:
            return tail
        most_bytes *= 8


def told_task(run: Run, run_dir: RunDir) -> RunTask:
    """Return a run's task, with the settings in its folder if the database has none."""
    if not run.has_spec:
        with suppress(SpecError):
            return task_of(run_dir.read_spec(), run.combination)
    return run.task
