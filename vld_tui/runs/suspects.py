"""Training images whose label may be wrong, as records for JSON and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.protocol.suspects import Suspect, Suspects

Record = dict[str, Any]


def suspects_record(run_id: str, suspects: Suspects, images: Sequence[Suspect]) -> Record:
    """Return suspects as one record, with some of the listed images."""
    return {
        "run": run_id,
        "dataset": suspects.dataset,
        "where": suspects.where,
        "data_digest": suspects.data_digest,
        "made_at": suspects.made_at,
        "checkpoints": suspects.checkpoints,
        "quantile": suspects.quantile,
        "threshold": suspects.threshold,
        "images": suspects.images,
        "suspects": suspects.suspects,
        "classes": suspects.classes,
        "near_distance": suspects.near_distance,
        "device": suspects.device,
        "listed": [
            _values(each)
            | {
                "twins": [
                    {
                        "path": twin.path,
                        "domain": twin.domain,
                        "class": twin.class_name,
                        "kind": twin.kind,
                    }
                    for twin in each.twins
                ]
            }
            for each in images
        ],
    }


def suspect_rows(images: Sequence[Suspect]) -> list[Record]:
    """Return a flat record for each image; of twins their numbers, and the first conflict."""
    return [
        _values(each)
        | {
            "twins": len(each.twins),
            "conflicts": len(each.conflicts),
            "conflict_path": each.conflicts[0].path if each.conflicts else "",
            "conflict_class": each.conflicts[0].class_name if each.conflicts else "",
        }
        for each in images
    ]


def _values(each: Suspect) -> Record:
    return {
        "path": each.path,
        "domain": each.domain,
        "index": each.index,
        "class": each.class_name,
        "class_probability": each.label_probability,
        "predicted": each.predicted,
        "probability": each.probability,
        "loss": each.loss,
        "random_loss": each.random_loss,
        "score": each.score,
        "is_suspect": each.is_suspect,
    }
