"""All rows, by the part of the table they are in, and how one is computed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.parity import data
from benchmarks.parity.row import Check, Row

CHECKS: Final[Mapping[str, Mapping[str, Check]]] = {
    "Images": {
        "seeds": data.seeds,
        "split": data.split,
        "split-of-target": data.split_of_target,
        "file-order": data.file_order,
        "lacking-class": data.lacking_class,
        "evaluation-transform": data.evaluation_transform,
        "sixteen-bits": data.sixteen_bits,
        "pil": data.pil_augmentation,
        "draws": data.draws_with_replacement,
    },
}


def run_check(check: Check) -> Row:
    """Compute a row, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return check(Path(folder))
