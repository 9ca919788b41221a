"""Evaluation of networks on every domain, without dropout."""

from engine.evaluate.domains import (
    Evaluation,
    Predictor,
    evaluate_domains,
    network_predictor,
)
from engine.evaluate.measures import DomainResult, evaluate, judge, predict
from engine.evaluate.predictions import keep_predictions

__all__ = [
    "DomainResult",
    "Evaluation",
    "Predictor",
    "evaluate",
    "evaluate_domains",
    "judge",
    "keep_predictions",
    "network_predictor",
    "predict",
]
