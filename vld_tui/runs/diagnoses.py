"""Diagnoses of runs: records for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from engine.protocol.diagnostics import Diagnosis

Record = dict[str, Any]


def diagnosis_record(diagnosis: Diagnosis) -> Record:
    """Return a diagnosis for scripts: each table is a list of its rows, by column."""
    record: Record = msgspec.to_builtins(diagnosis)
    record["tables"] = {
        name: {
            "title": table.title,
            "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
        }
        for name, table in diagnosis.tables.items()
    }
    return record


def diagnosis_rows(diagnoses: Iterable[Diagnosis]) -> Iterator[Record]:
    """Yield a row for each value of a domain."""
    for each in diagnoses:
        for finding in each.findings:
            low, high = finding.interval or (None, None)
            yield {
                "diagnostic": each.diagnostic,
                "measure": finding.name,
                "domain": finding.domain,
                "split": finding.split,
                "value": finding.value,
                "low": low,
                "high": high,
                "images": finding.images,
            }
