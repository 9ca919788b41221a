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

from engine.inference.evaluation import evaluate_run  # noqa: E402
from engine.inference.predict import predict_images  # noqa: E402
from engine.protocol.inference import (  # noqa: E402
    EvaluateRun,
    InferenceRequest,
    PredictImages,
)
from engine.work import Reporter, work  # noqa: E402

WORK: Final[Mapping[type, Callable[[Any, Reporter], object]]] = {
    PredictImages: predict_images,
    EvaluateRun: evaluate_run,
}
"""Handlers by request type."""


if __name__ == "__main__":
    keep_freed_memory()
    exit_code = work(sys.argv[1:], InferenceRequest, WORK)
    gc.freeze()  # otherwise the interpreter's last collections take a second for torch's objects
    sys.exit(exit_code)
