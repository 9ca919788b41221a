"""``python -m engine.diagnose REQUEST``: diagnostics of finished runs, reported as JSON lines.

For programs that do not import torch; see :mod:`engine.protocol.work`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from engine.machine.processor import keep_freed_memory, let_waiting_threads_sleep

let_waiting_threads_sleep()  # before torch is imported

from engine.diagnose.compared_images import open_compared, open_domains, open_target  # noqa: E402
from engine.protocol.data_shift import DataShift, MeasureShift  # noqa: E402
from engine.protocol.diagnostics import Diagnosed, DiagnoseRuns  # noqa: E402
from engine.protocol.domain_distances import ComparedDomains, CompareDomains  # noqa: E402
from engine.protocol.nearest_images import FindNearest, NearestImages  # noqa: E402
from engine.protocol.suspects import FindSuspects, Suspects  # noqa: E402
from engine.rundir import RunDir  # noqa: E402
from engine.rundir.checkpoints import checkpoint_files  # noqa: E402
from engine.work import Reporter, work  # noqa: E402


def _diagnose(request: DiagnoseRuns, report: Reporter) -> tuple[Diagnosed, ...]:
    if len(request.runs) == 1:  # a missing network is reported before torch is imported
        checkpoint_files(RunDir(Path(request.runs[0].run_dir)), None, "best")
    from engine.diagnose.diagnose_run import diagnose_runs

    return diagnose_runs(request, report)


def _find_suspects(request: FindSuspects, report: Reporter) -> Suspects:
    from engine.diagnose.suspects import find_suspects

    return find_suspects(request, report)


def _find_nearest(request: FindNearest, report: Reporter) -> NearestImages:
    compared = open_compared(request)  # a wrong path is reported before seconds of importing torch
    from engine.diagnose.nearest_images import find_nearest

    return find_nearest(request, compared, report)


def _compare_domains(request: CompareDomains, report: Reporter) -> ComparedDomains:
    images = open_domains(request)
    from engine.diagnose.compared_domains import compare_domains

    return compare_domains(request, images, report)


def _measure_shift(request: MeasureShift, report: Reporter) -> DataShift:
    images = open_target(request)
    from engine.diagnose.data_shift import measure_shift

    return measure_shift(request, images, report)


WORK: Final[Mapping[type, Callable[[Any, Reporter], object]]] = {
    DiagnoseRuns: _diagnose,
    FindSuspects: _find_suspects,
    FindNearest: _find_nearest,
    CompareDomains: _compare_domains,
    MeasureShift: _measure_shift,
}
"""Handlers by request type."""


if __name__ == "__main__":
    keep_freed_memory()
    exit_code = work(sys.argv[1:], WORK)
    gc.freeze()  # otherwise the interpreter's last collections take a second for torch's objects
    sys.exit(exit_code)
