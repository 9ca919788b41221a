"""Curves of a run as arrays, and its progress rebuilt from them; importing numpy is slow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from engine.protocol import (
    AUGMENTED,
    MEASURES,
    Evaluated,
    EventDecodeError,
    Metric,
    MetricKey,
    decode_event,
)
from engine.rundir import RunDir, plain_file
from vld_tui.runs.metrics import MetricSeries
from vld_tui.runs.progress import LossReading, Progress

Values = npt.NDArray[np.float64]
Places = npt.NDArray[np.int_]
Curves = Mapping[MetricKey, tuple[Values, Values]]
"""(n,) steps and (n,) values of each metric; NaN: not finite."""
MOST_EVALUATIONS: Final = 256
MOST_LOSSES: Final = 512
"""Maximum evaluations and losses; those of longer runs are thinned out."""
STEPS_TAKEN: Final = b'{"type":"steps_taken"'
EVALUATED: Final = b'{"type":"evaluated"'
RUN_STARTED: Final = b'{"type":"run_started"'
DRAWING_S: Final = 0.7
"""Seconds to draw the first block before the rest of the log is read."""
BLOCK_BYTES: Final = 2**22
"""Bytes read at once, more than any line."""


def as_arrays(series: Sequence[MetricSeries]) -> Curves:
    """Return the curves of packed series; those measured at the same steps share them."""
    curves: dict[MetricKey, tuple[Values, Values]] = {}
    known: dict[int, list[tuple[bytes, Values]]] = {}
    for key, points in series:
        packed, alike = points.steps.tobytes(), known.setdefault(len(points.steps), [])
        steps = next((found for before, found in alike if before == packed), None)
        if steps is None:
            steps = np.array(points.steps, dtype=np.float64)
            alike.append((packed, steps))
        curves[key] = (steps, np.frombuffer(points.values, dtype=np.float64))
    return curves


class Story:
    """Follows the log of one run without reading millions of values from it.

    Most lines of a log are losses and evaluations. The history has them packed, so these lines are
    skipped. It first reads only one block, with the run's preparation, so that a long log does not
    block; ``reads_all``: read everything at once.
    """

    def __init__(self, run_dir: RunDir, *, reads_all: bool = False) -> None:
        self._reads_all = reads_all
        self._path = run_dir.events
        self._offset = 0
        self._told = Progress()
        self._begun_at: float | None = None
        self._is_behind = False

    @property
    def is_behind(self) -> bool:
        """Return whether to read the rest of the log, now that the first block has been drawn."""
        since = self._begun_at
        return self._is_behind and since is not None and time.monotonic() > since + DRAWING_S

    def progress(self, curves: Curves, score: MetricKey) -> Progress:
        """Return the run's progress, from its new events and these curves of its own arm.

        ``score`` is the key of the values that select the arm's step.

        An unreadable log has no new events.
        """
        with suppress(OSError):
            self._read()
        return msgspec.structs.replace(
            self._told, losses=_losses(curves, score.arm), evaluations=_evaluations(curves, score)
        )

    def _read(self) -> None:
        """Read the new complete lines, or all lines if the log was restarted."""
        if self._path.stat().st_size < self._offset:
            self._offset, self._told = 0, Progress()
        taken = b""
        with open(self._path, "rb", opener=plain_file) as file:
            self._is_behind = False
            while not self._is_behind:
                file.seek(self._offset)
                block = file.read(BLOCK_BYTES)
                if (whole := block.rfind(b"\n") + 1) == 0:
                    break
                self._offset += whole
                lines = block[: whole - 1].split(b"\n")
                for line in lines:
                    if line.startswith(STEPS_TAKEN):
                        taken = line
                    elif not line.startswith(EVALUATED):
                        # The results of an earlier attempt do not apply to the next one.
                        taken = b"" if line.startswith(RUN_STARTED) else taken
                        self._take(line)
                if self._begun_at is None:
                    self._begun_at = time.monotonic()
                    self._is_behind = len(block) == BLOCK_BYTES and not self._reads_all
        self._take(taken)

    def _take(self, line: bytes) -> None:
        with suppress(EventDecodeError):
            self._told = self._told.after(decode_event(line))


def _losses(curves: Curves, arm: str) -> tuple[LossReading, ...]:
    steps, values = curves.get(MetricKey.loss(arm), (np.empty(0), np.empty(0)))
    return tuple(
        LossReading(int(steps[at]), _known(values[at])) for at in _spread(len(steps), MOST_LOSSES)
    )


def _evaluations(curves: Curves, score: MetricKey) -> tuple[Evaluated, ...]:
    """Return evenly spaced evaluations, including the best and the last."""
    arm = score.arm
    try:
        steps, id_values = curves[MetricKey.id(arm)]
    except KeyError:
        return ()
    is_accuracy = score == MetricKey.id(arm)
    scores = id_values if is_accuracy else _aligned(curves, score, steps)
    _, ood_values = curves.get(MetricKey.ood(arm), (steps, None))
    best = {int(np.argmax(scores))}
    chosen = sorted({*_spread(len(steps), MOST_EVALUATIONS), *best})
    metrics = _metrics(curves, arm, steps[chosen])
    measures = {
        name: list(
            zip(
                _values_at(curves, MetricKey.id(arm, name), steps[chosen]),
                _values_at(curves, MetricKey.ood(arm, name), steps[chosen]),
                strict=True,
            )
        )
        for name in MEASURES
        if MetricKey.id(arm, name) in curves
    }
    highest = np.maximum.accumulate(scores)
    return tuple(
        Evaluated(
            step=int(steps[at]),
            metrics=metrics[index],
            id_accuracy=float(id_values[at]),
            ood_accuracy=None if ood_values is None else float(ood_values[at]),
            is_best=at == 0 or bool(scores[at] > highest[at - 1]),
            wall_s=0.0,
            plain_id_accuracy=_plain_id_accuracy(metrics[index]),
            measures={name: values[index] for name, values in measures.items()},
            selection_score=None if is_accuracy else _known(scores[at]),
        )
        for index, at in enumerate(chosen)
    )


def _plain_id_accuracy(metrics: Sequence[Metric]) -> float | None:
    """Return the mean over sources without augmentation, or None if none was augmented."""
    sources = {each.domain for each in metrics if each.split == AUGMENTED}
    found = [
        each.value
        for each in metrics
        if (each.split, each.name) == ("out", "accuracy") and each.domain in sources
    ]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def _metrics(curves: Curves, arm: str, at_steps: Values) -> list[list[Metric]]:
    """Return the domains' values at some steps."""
    metrics: list[list[Metric]] = [[] for _ in at_steps]
    for key, (steps, values) in curves.items():
        if key.arm != arm or key.is_judged or key == MetricKey.loss(arm):
            continue
        places, is_there = _find_steps(steps, at_steps)
        for index in np.flatnonzero(is_there).tolist():
            value = _known(values[places[index]])
            metrics[index].append(Metric(key.split, key.domain, arm, key.name, value))
    return metrics


def _values_at(curves: Curves, key: MetricKey, at_steps: Values) -> list[float | None]:
    """Return a curve's values at some steps; None where there is none or it is not finite."""
    if key not in curves:
        return [None] * len(at_steps)
    steps, values = curves[key]
    return [
        _known(values[at]) if is_there else None
        for at, is_there in zip(*_find_steps(steps, at_steps), strict=True)
    ]


def _find_steps(steps: Values, wanted: Values) -> tuple[Places, npt.NDArray[np.bool_]]:
    """Return the places of wanted steps among ascending ones, and which of them exist."""
    places = np.minimum(np.searchsorted(steps, wanted), len(steps) - 1)
    return places, steps[places] == wanted


def _aligned(curves: Curves, key: MetricKey, at_steps: Values) -> Values:
    """Return a curve's values at some steps; −∞ where there is none or it is not finite."""
    values = _values_at(curves, key, at_steps)
    return np.array([-np.inf if value is None else value for value in values])


def _spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` of ``count`` evenly spaced indices, including first and last."""
    return [int(index) for index in np.linspace(0, count - 1, min(count, most))]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
