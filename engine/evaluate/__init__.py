"""Evaluation of networks on every domain, without dropout."""

from engine.evaluate.domains import (
    Evaluation,
    Predictor,
    counted,
    evaluate_domains,
    network_predictor,
    selection_score,
)
from engine.evaluate.measures import evaluate, judge, predict
from engine.evaluate.predictions import keep_predictions, keep_predictions_of_arm
from engine.evaluate.step_predictions import StepPredictionsKeeper

__all__ = [
    "Evaluation",
    "Predictor",
    "StepPredictionsKeeper",
    "counted",
    "evaluate",
    "evaluate_domains",
    "judge",
    "keep_predictions",
    "keep_predictions_of_arm",
    "network_predictor",
    "predict",
    "selection_score",
]
