"""Classify images with a run's network: one core for the command line, the dashboard and Python."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from engine.protocol.inference import PredictImages, Prediction, PredictionsMade
from engine.protocol.work import WorkNote, WorkProgress, WorkReport, WorkRows
from vld_tui.launch.work import ask_engine, engine_package

INFERENCE_COMMAND: Final = engine_package("inference")


class ClassProbability(msgspec.Struct, frozen=True, rename={"class_name": "class"}):
    """A class and its probability."""

    class_name: str
    probability: float


class ImagePrediction(msgspec.Struct, frozen=True, rename={"class_name": "class"}):
    """What a network predicts for one image.

    Attributes:
        path: of the image.
        class_name: the most probable class; None if the image is unreadable, or the probability
            is below the minimum.
        probability: of the most probable class.
        margin: difference of the two highest probabilities.
        top: the most probable classes, most probable first.
        ood_score: higher is more unlike the training images; None: not asked for.
        is_ood: the score exceeds the threshold; None: there is no score or no threshold.
        problem: why the image cannot be read; None if it can.
    """

    path: str
    class_name: str | None
    probability: float | None
    margin: float | None
    top: tuple[ClassProbability, ...]
    ood_score: float | None
    is_ood: bool | None
    problem: str | None

    @classmethod
    def of(cls, row: Prediction, min_probability: float) -> ImagePrediction:
        """Return a prediction, without its class if the probability is below a minimum."""
        top = tuple(map(ClassProbability, row.classes, row.probabilities))
        best = top[0] if top else None
        return cls(
            path=row.path,
            class_name=best.class_name if best and best.probability >= min_probability else None,
            probability=best.probability if best else None,
            margin=row.margin,
            top=top,
            ood_score=row.ood_score,
            is_ood=row.is_ood,
            problem=row.problem,
        )

    @property
    def is_unsure(self) -> bool:
        """Return whether the class is left out because its probability is too low."""
        return self.class_name is None and self.problem is None

    @property
    def doubt(self) -> float:
        """Return a sort key: unreadable images first, then the lowest probability."""
        return 2.0 if self.probability is None else 1 - self.probability


def predict(
    request: PredictImages,
    on_predictions: Callable[[Sequence[ImagePrediction]], None],
    *,
    min_probability: float = 0.0,
    on_report: Callable[[WorkProgress | WorkNote], None] = lambda _report: None,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> PredictionsMade:
    """Classify images in an engine process.

    An exception from a callback, or Ctrl-C, ends the process.

    Args:
        request: the run's folder, the images, and how to predict.
        on_predictions: receives the predictions in order, some at a time.
        min_probability: a class with a lower probability is left out.
        on_report: receives progress and notes.
        on_start: receives the process, so that the caller can end it.

    Raises:
        WorkError: when there are no images, or the network cannot be used.
        LaunchError: when the process cannot start, or dies.
    """

    def receive(report: WorkReport) -> None:
        if isinstance(report, WorkRows):
            rows = msgspec.json.decode(report.rows, type=list[Prediction])
            on_predictions([ImagePrediction.of(row, min_probability) for row in rows])
        elif isinstance(report, WorkProgress | WorkNote):
            on_report(report)

    return ask_engine(INFERENCE_COMMAND, request, PredictionsMade, receive, on_start=on_start)
