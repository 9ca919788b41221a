"""What a check of a data set found, as plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from engine.protocol.datasets import CheckReport
from vld_tui.views.columns import Column, table_lines
from vld_tui.views.numbers import plural
from vld_tui.views.text import plain_text

SHOWN: Final = 10
"""Files and pairs listed; the rest are counted, and all are in ``--json``."""


def check_report_lines(report: CheckReport, *, cells: int | None) -> Iterator[str]:
    """Yield the table of counts, what the images are like, and what was found."""
    images = sum(sum(classes.values()) for classes in report.counts.values())
    yield f"{plain_text(report.name)}  {plural(images, 'image')} in {plain_text(report.where)}"
    if report.reading:
        yield plain_text(report.reading)
    yield ""
    yield from _counts(report, cells)
    yield ""
    if report.short_sides is not None:
        least, median, largest = report.short_sides
        yield f"shorter side  {least} to {largest} px, median {median}"
    yield f"modes         {_listing(report.modes)}"
    yield f"formats       {_listing(report.formats)}"
    files = [f"{path}: {why}" for path, why in report.unreadable.items()]
    yield from _some("cannot be read", files)
    exact = [f"{pair.one} = {pair.other}" for pair in report.exact_duplicates]
    yield from _some("the same content", exact)
    near = [f"{pair.one} ≈ {pair.other} ({pair.bits} bits)" for pair in report.near_duplicates]
    yield from _some("look alike across domains", near)
    yield ""
    for finding in report.findings:
        yield f"{'✗' if finding.spoils else '!'} {plain_text(finding.text)}"
    if not any(finding.spoils for finding in report.findings):
        yield "✓ nothing that would spoil a run"


def _counts(report: CheckReport, cells: int | None) -> Iterator[str]:
    domains = list(report.counts)
    columns = [Column("class", rank=100, shrinks=True)]
    columns += [Column(plain_text(domain), right=True) for domain in domains]
    rows = [
        [plain_text(name), *(f"{report.counts[domain].get(name, 0):,}" for domain in domains)]
        for name in report.classes
    ]
    rows.append(["all", *(f"{sum(report.counts[domain].values()):,}" for domain in domains)])
    yield from table_lines(columns, rows, cells)


def _listing(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{plain_text(name)} {count:,}" for name, count in counts.items())


def _some(what: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield f"{len(lines):,} {what}:"
        yield from (f"  {plain_text(line)}" for line in lines[:SHOWN])
        if len(lines) > SHOWN:
            yield f"  … and {len(lines) - SHOWN:,} more: --json lists all"
