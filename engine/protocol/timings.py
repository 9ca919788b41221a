"""The file of measured step times, as far as programs without torch read it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from engine.protocol.spec import RunSpec

TIMINGS: Final = "execution.json"
"""File of earlier measurements, in the folder of caches."""
UNDER_LOAD: Final = "|under load"
"""Key suffix of measurements taken under load, which expire."""
FORWARD: Final = " forward"
"""Suffix of the part of a key that names the network, if steps were forward passes alone."""
MOST_TIMING_S: Final = 60.0
"""Seconds after which no further step is timed."""

StepTimes = dict[str, dict[str, float]]
"""Milliseconds per step by execution, by what else they depend on."""


def read_timings(file: Path) -> StepTimes:
    """Return the measurements in a file; none if it is missing or damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=StepTimes)
    except (OSError, msgspec.DecodeError):
        return {}


def is_timed_first(spec: RunSpec, file: Path) -> bool:
    """Return whether a run will time precisions and memory formats, because no run with its
    network and image size has done so, as far as ``file`` shows.

    Measurements under load do not count.
    """
    is_open = "auto" in (spec.precision, spec.memory_format)
    if not is_open or (spec.tuning == "linear" and spec.views is not None):
        return False
    network = f"{spec.model} {spec.image_size}px "
    return not any(
        part.startswith(network) and not part.endswith(FORWARD) and not key.endswith(UNDER_LOAD)
        for key in read_timings(file)
        for part in key.split("|")
    )
