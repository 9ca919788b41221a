"""``python -m engine.inference REQUEST``: use of trained networks, reported as JSON lines.

For programs that do not import torch; see :mod:`engine.protocol.inference`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.machine.processor import keep_freed_memory, let_waiting_threads_sleep

let_waiting_threads_sleep()  # before torch is imported

from engine.inference.labelled import find_images  # noqa: E402
from engine.inference.listing import find_files  # noqa: E402
from engine.protocol.data_evaluations import DataEvaluation  # noqa: E402
from engine.protocol.inference import (  # noqa: E402
    EvaluateRun,
    PredictImages,
    PredictionsMade,
)
from engine.work import Reporter, work  # noqa: E402


def _predict(request: PredictImages, report: Reporter) -> PredictionsMade:
    found = find_files(request)  # a wrong path is reported before seconds of importing torch
    from engine.inference.predict import predict_images

    return predict_images(request, found, report)


def _evaluate(request: EvaluateRun, report: Reporter) -> DataEvaluation:
    images = find_images(request)
    from engine.inference.evaluation import evaluate_run

    return evaluate_run(request, images, report)


WORK: Final[Mapping[type, Callable[[Any, Reporter], object]]] = {
    PredictImages: _predict,
    EvaluateRun: _evaluate,
}
"""Handlers by request type."""


if __name__ == "__main__":
    keep_freed_memory()
    exit_code = work(sys.argv[1:], WORK)
    gc.freeze()  # otherwise the interpreter's last collections take a second for torch's objects
    sys.exit(exit_code)
