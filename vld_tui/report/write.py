"""Write a report's files to a folder, each atomically."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.protocol import MEASURES
from engine.rundir import write_atomic
from vld_tui.report.accuracy import measure_file
from vld_tui.report.canvas import Picture
from vld_tui.report.choices import BEGINNING as CHOICE_COLUMNS
from vld_tui.report.content import Report, results_csv, ways_csv
from vld_tui.report.figures import chain_picture, cloud_picture, target_picture, way_picture
from vld_tui.report.page import NEEDS as LATEX_NEEDS
from vld_tui.report.page import latex_table, page
from vld_tui.report.tables import csv_text

PAGE: Final = "index.html"
SOMETIMES: Final = (
    "missing", "clouds", "centres", "chain", "targets", "interpolation", "differences", "choices",
)  # fmt: skip
"""Optional files, which are deleted if an earlier report left outdated ones."""
OF_DATASETS: Final = ("cells-*", "settings-*")
"""Tables with one file per data set; a study's data sets may change."""
_ENDINGS: Final = (".csv", ".tex", ".png", ".pdf")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the page, the figures and the tables, replacing those of an earlier report.

    Raises:
        OSError: when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, data in _files(report):
        write_atomic(folder / name, data)
        written.append(folder / name)
    for left in _earlier(folder):
        if left not in written:
            left.unlink(missing_ok=True)
    return written


def _earlier(folder: Path) -> Iterator[Path]:
    """Yield files that an earlier report may have left and this one may not overwrite."""
    for name in (*SOMETIMES, *map(measure_file, MEASURES)):
        yield from (folder / f"{name}{ending}" for ending in _ENDINGS)
    for pattern in OF_DATASETS:
        yield from (path for path in folder.glob(f"{pattern}.*") if _is_choice_table(path))


def _is_choice_table(path: Path) -> bool:
    """Return whether a file starts like a choice table; the folder may hold unrelated files."""
    beginning = {".csv": CHOICE_COLUMNS, ".tex": LATEX_NEEDS}.get(path.suffix)
    if beginning is None or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning.encode()


def draw(report: Report) -> list[Picture]:
    """Draw every figure that the report has data for."""
    pictures = [
        cloud_picture(report.clouds) if report.clouds else None,
        chain_picture(report.clouds),
        target_picture(report.results),
        way_picture(report.ways) if report.ways else None,
    ]
    return [picture for picture in pictures if picture is not None]


def _files(report: Report) -> Iterator[tuple[str, bytes]]:
    pictures = draw(report)
    yield PAGE, page(report, pictures).encode()
    for picture in pictures:
        for kind, data in picture.files.items():
            yield f"{picture.name}.{kind}", data
    tables = [*report.tables, *([report.missing] if report.missing else [])]
    names = file_names([table.name for table in tables])
    for name, table in zip(names, tables, strict=True):
        yield f"{name}.csv", csv_text(table).encode()
        yield f"{name}.tex", latex_table(table).encode()
    yield "runs.csv", results_csv(report).encode()
    if report.ways:
        yield "interpolation.csv", ways_csv(report).encode()


def file_names(names: list[str]) -> list[str]:
    """Return a unique file name for each external name."""
    made: list[str] = []
    for name in names:
        plain = _UNSAFE.sub("-", name).strip("-.")[:80] or "table"
        copy = 2
        unique = plain
        while unique.lower() in (each.lower() for each in made):
            unique, copy = f"{plain}-{copy}", copy + 1
        made.append(unique)
    return made
