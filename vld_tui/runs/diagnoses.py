"""Diagnoses of runs: records for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from engine.protocol.diagnostics import Diagnosis

Record = dict[str, Any]


def diagnosis_record(diagnosis: Diagnosis) -> Record:
    """Return a diagnosis for scripts: each table is a list of its rows, by column.

    A column that is named like an earlier one, such as a domain, has a number after its name.
    """
    record: Record = msgspec.to_builtins(diagnosis)
    record["tables"] = {
        name: {
            "title": table.title,
            "rows": [dict(zip(_keys(table.columns), row, strict=True)) for row in table.rows],
        }
        for name, table in diagnosis.tables.items()
    }
    return record


def _keys(columns: Sequence[str]) -> list[str]:
    """Return the names of columns, the later ones of equal names with a number."""
    keys: list[str] = []
    for name in columns:
        key, number = name, 1
        while key in keys or (number > 1 and key in columns):
            number += 1
            key = f"{name} ({number})"
        keys.append(key)
    return keys


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
