"""What a network is worth: accuracy per domain, unmasked."""

from engine.evaluate.accuracy import DomainResult, evaluate, judge, predict
from engine.evaluate.domains import (
    COLLAPSE_LOSS,
    Evaluation,
    Predictor,
    class_entropy,
    evaluate_domains,
    has_collapsed,
    network_predictor,
)
from engine.evaluate.predictions import describe_predictions, keep_predictions

__all__ = [
    "COLLAPSE_LOSS",
    "DomainResult",
    "Evaluation",
    "Predictor",
    "class_entropy",
    "describe_predictions",
    "evaluate",
    "evaluate_domains",
    "has_collapsed",
    "judge",
    "keep_predictions",
    "network_predictor",
    "predict",
]
