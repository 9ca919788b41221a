"""A report as HTML page and as LaTeX tables; every text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from vld_tui.report.canvas import Picture
from vld_tui.report.content import Report
from vld_tui.report.tables import Table, printed, sparse_texts
from vld_tui.words.text import plain_text

NEEDS: Final = r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs}"
LONGEST_TABLE: Final = 60
"""Tables with more rows are collapsed, except the table of results."""
_SIGNS: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "λ": r"$\lambda$", "±": r"$\pm$", "−": "$-$", "·": r"$\cdot$", "–": "--", "×": r"$\times$",
    "…": r"\dots{}", "[": "{[}", "]": "{]}",
}  # fmt: skip


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
        NEEDS,
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


def page(report: Report, pictures: Sequence[Picture]) -> str:
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
        pictures=[_figure(picture) for picture in pictures],
        tables=[_table(table) for table in report.tables],
        missing=report.missing and _table(report.missing),
    )


def _without_controls(value: Any) -> Any:
    """Escape external text for the page, leaving the template's markup."""
    return value if hasattr(value, "__html__") else plain_text(str(value))


def _figure(picture: Picture) -> dict[str, Any]:
    """Return a picture for the template, at high resolution."""
    data = picture.files["png"]
    return {
        "title": picture.title,
        "caption": picture.caption,
        "width": int.from_bytes(data[16:20], "big") * 3 // 5,
        "png": base64.b64encode(data).decode(),
    }


def _table(table: Table) -> dict[str, Any]:
    """Return a table for the template, its cells as text."""
    table = printed(table)
    return {
        **table._asdict(),
        "rows": sparse_texts(table),
        "is_folded": len(table.rows) > LONGEST_TABLE and table.name != "results",
    }
