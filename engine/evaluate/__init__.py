"""What a network is worth: accuracy per domain, unmasked."""

from engine.evaluate.accuracy import DomainResult, evaluate
from engine.evaluate.domains import (
    Evaluation,
    class_entropy,
    evaluate_domains,
    has_collapsed,
)
from engine.evaluate.predictions import describe_predictions

__all__ = [
    "DomainResult",
    "Evaluation",
    "class_entropy",
    "describe_predictions",
    "evaluate",
    "evaluate_domains",
    "has_collapsed",
]
