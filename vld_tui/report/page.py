"""A report as one self-contained HTML file with light and dark themes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from vld_tui.report.canvas import Picture
from vld_tui.report.content import Report
from vld_tui.report.tables import Table, printed, sparse_texts
from vld_tui.words.text import plain_text

LONGEST_TABLE: Final = 60
"""Tables with more rows are collapsed, except the table of results."""


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
