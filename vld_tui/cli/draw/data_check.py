"""Results of a data set check as plain lines."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Final

from engine.protocol.datasets import CheckReport, Duplicate
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import plural
from vld_tui.words.text import plain_text, shorten_middle, width

SHOWN: Final = 10
"""Maximum files and pairs listed; ``--json`` has all."""
MOST_CLASS_ROWS: Final = 40
"""Maximum classes with their own row; more are summarised."""
NAME_CELLS: Final = 40
PIPED_CELLS: Final = 120
"""Width in which each domain gets a column without a terminal."""


def check_report_lines(
    report: CheckReport, *, cells: int | None, shows_all: bool = False
) -> Iterator[str]:
    """Yield the table of counts, the image properties, and the findings.

    Args:
        report: the check's report.
        cells: width of the terminal; None: no terminal.
        shows_all: list every class, file and pair.
    """
    images = sum(sum(classes.values()) for classes in report.counts.values())
    yield f"{plain_text(report.name)}  {plural(images, 'image')} in {plain_text(report.where)}"
    if report.reading:
        yield plain_text(report.reading)
    yield ""
    yield from _counts(report, cells, shows_all=shows_all)
    yield ""
    if report.short_sides is not None:
        least, median, largest = report.short_sides
        yield f"shorter side  {least} to {largest} px, median {median}"
    yield f"modes         {_listing(report.modes)}"
    yield f"formats       {_listing(report.formats)}"
    yield from _files(report, cells, None if shows_all else SHOWN)
    yield ""
    for finding in report.findings:
        yield f"{'✗' if finding.spoils else '!'} {plain_text(finding.text)}"
    if not any(finding.spoils for finding in report.findings):
        yield "✓ no errors" + (", only warnings" if report.findings else "")


def _counts(report: CheckReport, cells: int | None, *, shows_all: bool) -> Iterator[str]:
    domains = [_name(domain) for domain in report.counts]
    columns_cells = sum(max(width(domain), 7) + 2 for domain in domains) + 12
    is_wide = columns_cells > (cells or PIPED_CELLS)
    if not shows_all and (len(report.classes) > MOST_CLASS_ROWS or is_wide):
        yield from _summary(report, cells)
        return
    columns = [Column("class", rank=101, shrinks=True)]
    columns += [Column(domain, right=True) for domain in domains]
    of_domains = list(report.counts.values())
    rows = [
        [_name(name), *(f"{of_class.get(name, 0):,}" for of_class in of_domains)]
        for name in report.classes
    ]
    rows.append(["all", *(f"{sum(of_class.values()):,}" for of_class in of_domains)])
    yield from table_lines(columns, rows, cells)


def _summary(report: CheckReport, cells: int | None) -> Iterator[str]:
    """Yield a row for each domain: its images, its classes, the smallest and the largest."""
    columns = (
        Column("domain", rank=102, shrinks=True),
        Column("images", right=True, rank=101),
        Column("classes", right=True),
        Column("smallest class", shrinks=True, narrowest=20),
        Column("median", right=True, rank=99),
        Column("largest class", shrinks=True, narrowest=20),
    )
    rows = []
    for domain, counts in report.counts.items():
        ordered = sorted(counts, key=lambda name: (counts[name], name))
        rows.append(
            [
                _name(domain),
                f"{sum(counts.values()):,}",
                f"{len(counts):,}",
                "".join(f"{_name(each)} ({counts[each]:,})" for each in ordered[:1]),
                f"{int(statistics.median(counts.values() or [0])):,}",
                "".join(f"{_name(each)} ({counts[each]:,})" for each in ordered[-1:]),
            ]
        )
    yield from table_lines(columns, rows, cells)
    yield f"{plural(len(report.classes), 'class')}; list them with --all"


def _name(name: str) -> str:
    return shorten_middle(plain_text(name), NAME_CELLS)


def _files(report: CheckReport, cells: int | None, most: int | None) -> Iterator[str]:
    files = [f"{_path(path, cells, 1)}: {why}" for path, why in report.unreadable.items()]
    yield from _some("unreadable file", "", files, len(files), most)
    exact = [_pair(pair, "=", cells) for pair in report.exact_duplicates]
    yield from _some("identical pair", "", exact, len(exact), most)
    copies = [_pair(pair, "≈", cells) for pair in report.near_copies]
    count = report.near_copy_count
    yield from _some("near-identical pair", " within a domain", copies, count, most)
    near = [_pair(pair, "≈", cells) for pair in report.near_duplicates]
    yield from _some("similar pair", " across domains", near, report.near_duplicate_count, most)


def _pair(pair: Duplicate, sign: str, cells: int | None) -> str:
    if pair.one == pair.other:
        return f"{_path(pair.one, cells, 2)} in {pair.one_in} and {pair.other_in}"
    bits = f" ({plural(pair.bits, 'bit')})" if sign == "≈" else ""
    return f"{_path(pair.one, cells, 2)} {sign} {_path(pair.other, cells, 2)}{bits}"


def _path(path: str, cells: int | None, paths: int) -> str:
    """Return a path shortened so that ``paths`` of them fit a line."""
    return path if cells is None else shorten_middle(path, max(20, (cells - 14) // paths))


def _listing(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{plain_text(name)} {count:,}" for name, count in counts.items())


def _some(what: str, where: str, lines: list[str], count: int, most: int | None) -> Iterator[str]:
    if lines:
        yield ""
        yield f"{plural(count, what)}{where}:"
        shown = lines[:most]
        yield from (f"  {plain_text(line)}" for line in shown)
        if count > len(shown):
            yield f"  … and {count - len(shown):,} more; list all with --all or --json"
