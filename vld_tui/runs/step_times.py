"""When a run was at which step, read from a sample of its event log."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from engine.rundir import plain_file
from vld_tui.runs.curves import Values

SAMPLES: Final = 512
"""Maximum number of blocks that are read, more than a chart has columns."""
SAMPLE_BYTES: Final = 4096
_STEP: Final = re.compile(
    rb'^\{"type":"(?:steps_taken|evaluated)","seq":\d+,"time":([\d.]+),"step":(\d+)[,}]',
    re.MULTILINE,
)
_FIRST: Final = re.compile(rb'"time":([\d.]+)')


class StepTimes(NamedTuple):
    """(n,) ascending steps and the Unix times (s) when they were done; ``start`` is the run's."""

    start: float
    steps: Values
    times: Values

    def at(self, steps: Values) -> Values:
        """Return the Unix times of steps, interpolated between known ones."""
        return np.interp(steps, self.steps, self.times)


def read_step_times(events: Path) -> StepTimes | None:
    """Return the times of a run's steps; None if its log is missing or has none.

    A step that was repeated after a resume has the time of its last repetition.
    """
    try:
        with open(events, "rb", opener=plain_file) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= SAMPLES * SAMPLE_BYTES:
                blocks = [file.read()]
            else:
                blocks = [
                    _read_at(file, offset)
                    for offset in np.linspace(0, size - SAMPLE_BYTES, SAMPLES)
                ]
    except OSError:
        return None
    first = _FIRST.search(blocks[0])
    found = [(int(step), float(time)) for block in blocks for time, step in _STEP.findall(block)]
    known: list[tuple[int, float]] = []
    for step, time in reversed(found):
        if not known or step < known[-1][0]:
            known.append((step, time))
    if first is None or not known:
        return None
    steps, times = np.array(known[::-1], dtype=np.float64).T
    return StepTimes(float(first[1]), steps, times)


def _read_at(file: BinaryIO, offset: float) -> bytes:
    file.seek(int(offset))
    return file.read(SAMPLE_BYTES)
