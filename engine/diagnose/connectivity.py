"""Linear connectivity: the loss halfway between the weights of two seeds.

Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020, take the
highest loss on the whole path: ``vld combine interpolate``. Halfway is usually near it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from engine.diagnose.found import Found, finding, summary_of
from engine.diagnose.other_seed import NO_OTHER_SEED
from engine.diagnose.run_features import RunFeatures
from engine.protocol.diagnostics import Cell, Finding, FindingTable, Settings


def connectivity(run: RunFeatures, _settings: Settings) -> Found:
    """Return the loss halfway to another seed's network minus the mean loss of both.

    Validation images that the other seed was trained on are left out.
    """
    other = run.other_seed
    if other is None:
        return Found({"barrier": (None, None)}, notes=(NO_OTHER_SEED,))
    found: list[Finding] = []
    rows: list[tuple[Cell, ...]] = []
    for each in run.judged():
        is_unseen = ~other.is_trained[each.rows]
        if not is_unseen.any():
            found.append(finding(each, "barrier", None))
            continue
        labels, at = each.labels[is_unseen], each.rows[is_unseen]
        path = (each.logits[is_unseen], other.halfway[at], other.logits[at])
        losses = [_loss(logits, labels) for logits in path]
        accuracies = [_accuracy(logits, labels) for logits in path]
        found.append(finding(each, "barrier", losses[1] - (losses[0] + losses[2]) / 2))
        rows.append((each.domain, len(labels), *losses, *accuracies))
    columns = (
        "domain", "images", "loss", "loss halfway", "loss of other seed", "accuracy",
        "accuracy halfway", "accuracy of other seed",
    )  # fmt: skip
    return Found(
        {"barrier": summary_of(found, run, "barrier")},
        tuple(found),
        {"path": FindingTable("Loss (nats) and accuracy along the path", columns, tuple(rows))},
        (
            f"The other seed is run {other.run_id}. Validation images that it was trained on are "
            "left out.",
        ),
    )


def _loss(logits: Tensor, labels: Tensor) -> float:
    return float(F.cross_entropy(logits.double(), labels))


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(dim=1) == labels).double().mean())
