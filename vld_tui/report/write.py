"""Write a report's files to a folder: page, LaTeX tables, CSV, figures; every text is escaped."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from engine.protocol import MEASURES
from engine.rundir import write_atomic
from vld_tui.report.accuracy import measure_file
from vld_tui.report.canvas import FigureFiles
from vld_tui.report.choices import CHOICE_COLUMNS
from vld_tui.report.content import Report, results_csv, ways_csv
from vld_tui.report.figures import chain_picture, cloud_picture, target_picture, way_picture
from vld_tui.report.richness import richness_picture
from vld_tui.report.tables import Table, csv_text, printed, sparse_texts
from vld_tui.words.text import plain_text

PAGE: Final = "index.html"
SOMETIMES: Final = (
    "missing", "clouds", "centres", "chain", "targets", "interpolation", "differences", "choices",
    "evaluations", "diagnostics", "richness",
)  # fmt: skip
"""Optional files, which are deleted if an earlier report left outdated ones."""
OF_DATASETS: Final = ("cells-*", "settings-*")
"""Tables with one file per data set; a study's data sets may change."""
_ENDINGS: Final = (".csv", ".tex", ".png", ".pdf")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
LATEX_NEEDS: Final = r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs}"
LONGEST_TABLE: Final = 60
"""Tables with more rows are collapsed, except the table of results."""
_SIGNS: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "λ": r"$\lambda$", "±": r"$\pm$", "−": "$-$", "·": r"$\cdot$", "–": "--", "×": r"$\times$",
    "…": r"\dots{}", "[": "{[}", "]": "{]}",
}  # fmt: skip


def write_report(
    report: Report, folder: Path, progress: Callable[[str], object] = lambda _: None
) -> list[Path]:
    """Write the page, the figures and the tables, replacing those of an earlier report.

    ``progress`` is called with what is done next.

    Raises:
        OSError: when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    progress("drawing figures")
    for name, data in _files(report):
        progress(f"writing {name}")
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


def draw(report: Report) -> list[FigureFiles]:
    """Draw every figure that the report has data for."""
    pictures = [
        cloud_picture(report.clouds) if report.clouds else None,
        chain_picture(report.clouds),
        target_picture(report.complete),
        way_picture(report.ways) if report.ways else None,
        richness_picture(report.results),
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


def latex_text(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(_SIGNS.get(sign, sign) for sign in plain_text(text))


def latex_table(table: Table) -> str:
    """Write a table with its caption; requires the packages booktabs and textcomp."""
    table = printed(table)
    sides = "".join("r" if column.right else "l" for column in table.columns)
    headings = " & ".join(latex_text(column.heading) for column in table.columns)
    caption = " ".join([f"{table.title}.", *table.notes])
    lines = [
        LATEX_NEEDS,
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(caption)}}}",
        rf"\label{{tab:{''.join(sign for sign in table.name if sign.isalnum() or sign in '.-')}}}",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        rf"{headings} \\",
        r"\midrule",
    ]
    for number, row in enumerate(sparse_texts(table)):
        lines += [r"\midrule"] if number in table.breaks else []
        lines.append(" & ".join(map(latex_text, row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def page(report: Report, pictures: Sequence[FigureFiles]) -> str:
    """Return the page: ``page.html`` filled in."""
    environment = Environment(
        loader=PackageLoader("vld_tui.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_without_controls,
    )
    return environment.get_template("page.html").render(
        report=report,
        pictures=[_figure_values(picture) for picture in pictures],
        tables=[_table_values(table) for table in report.tables],
        missing=report.missing and _table_values(report.missing),
    )


def _without_controls(value: Any) -> Any:
    """Escape external text for the page, leaving the template's markup."""
    return value if hasattr(value, "__html__") else plain_text(str(value))


def _figure_values(picture: FigureFiles) -> dict[str, Any]:
    """Return a picture for the template, at high resolution."""
    data = picture.files["png"]
    return {
        "title": picture.title,
        "caption": picture.caption,
        "width": int.from_bytes(data[16:20], "big") * 3 // 5,
        "png": base64.b64encode(data).decode(),
    }


def _table_values(table: Table) -> dict[str, Any]:
    """Return a table for the template, its cells as text."""
    table = printed(table)
    return {
        **table._asdict(),
        "rows": sparse_texts(table),
        "is_folded": len(table.rows) > LONGEST_TABLE and table.name != "results",
    }
