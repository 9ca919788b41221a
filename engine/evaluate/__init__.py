"""What a network is worth: accuracy per domain, unmasked."""

from engine.evaluate.accuracy import DomainResult, evaluate
from engine.evaluate.domains import (
    Evaluation,
    class_entropy,
    evaluate_domains,
    has_collapsed,
)

__all__ = [
    "DomainResult",
    "Evaluation",
    "class_entropy",
    "evaluate",
    "evaluate_domains",
    "has_collapsed",
]
