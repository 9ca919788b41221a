"""A report as one HTML file that asks for no other: readable in the dark and in the light."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Final

from vld_tui.report.canvas import Picture
from vld_tui.report.content import Report
from vld_tui.report.tables import Table, printed, sparse_texts
from vld_tui.views.text import plain_text

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Lets a browser load nothing and run nothing, whatever a name might hold."""
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1c1c; --quiet: #5f6368; --ground: #ffffff;
  --line: #d5d8dc; --stripe: #f6f7f8; --warn: #fff4e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --quiet: #a3a8ae;
  --ground: #16181b; --line: #3a3f45; --stripe: #1d2024; --warn: #3a2e16; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 72rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
nav { margin: 1.5rem 0 0; columns: 20rem; } nav a { display: block; }
details summary { cursor: pointer; color: var(--quiet); }
a { color: inherit; text-underline-offset: .2em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13.5px; }
th, td { padding: .2rem .7rem; text-align: left; white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; border-bottom: 1px solid var(--ink); }
tbody tr:nth-child(even) { background: var(--stripe); }
.right { text-align: right; } .break td { border-top: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 1px solid var(--line); }
.notes, figcaption { color: var(--quiet); font-size: 13px; max-width: 46rem; margin: .4rem 0; }
figure { margin: 0; } figure img { background: #fff; border-radius: 4px; padding: 8px;
  display: block; max-width: 100%; }
.missing { background: var(--warn); padding: .1rem 1rem 1rem; border-radius: 6px;
  margin-top: 1.5rem; } .missing h2 { margin-top: .8rem; }
.missing tbody tr:nth-child(even) { background: none; }
pre { background: var(--stripe); padding: 1rem; border-radius: 6px; overflow-x: auto;
  font-size: 13px; }
@media print { body { max-width: none; padding: 0; } .scroll { overflow: visible; } }
"""

LONGEST_TABLE: Final = 60
"""Rows above which a table is folded away, unless it is the one that a report is about."""


def page(report: Report, pictures: Sequence[Picture]) -> str:
    """Write the page."""
    title = _text(report.title)
    sections = [(picture.title, _figure(picture)) for picture in pictures]
    sections += [(table.title, _table(table)) for table in report.tables]
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{title}</h1>",
        "<dl>",
        *(f"<dt>{_text(fact.label)}</dt><dd>{_text(fact.text)}</dd>" for fact in report.facts),
        "</dl>",
        *_missing(report),
        "<nav>",
        *(
            f'<a href="#section-{number}">{_text(heading)}</a>'
            for number, (heading, _) in enumerate(sections)
        ),
        '<a href="#again">How to run it again</a>',
        "</nav>",
    ]
    for number, (heading, body) in enumerate(sections):
        lines += [f'<section id="section-{number}">', f"<h2>{_text(heading)}</h2>", body]
        lines.append("</section>")
    return "\n".join([*lines, *_again(report), "</body>", "</html>"]) + "\n"


def _missing(report: Report) -> list[str]:
    if report.missing is None:
        return []
    command = f"<code>vld sweep {_text(report.name)}</code>"
    return [
        f'<div class="missing"><h2>{_text(report.missing.title)}</h2>',
        f"<p>The results below are of the finished runs only. To run the others: {command}</p>",
        f"{_table(report.missing)}</div>",
    ]


def _again(report: Report) -> list[str]:
    command = f"<code>vld report {_text(report.name)}</code>"
    definition = html.escape(plain_text(report.definition, keep_newlines=True))
    return [
        '<section id="again"><h2>How to run it again</h2>',
        f"<p>Save this as <code>study.toml</code>, then <code>vld sweep study.toml</code> and "
        f"{command}.</p>",
        f"<pre>{definition}</pre></section>",
    ]


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.files["png"]).decode()
    return (
        f'<figure><img alt="{_text(picture.title)}" width="{_width(picture)}" '
        f'src="data:image/png;base64,{data}">'
        f"<figcaption>{_text(picture.caption)}</figcaption></figure>"
    )


def _width(picture: Picture) -> int:
    """Return how wide the picture is shown: with pixels to spare, so that it is sharp."""
    pixels = int.from_bytes(picture.files["png"][16:20], "big")
    return pixels * 3 // 5


def _table(table: Table) -> str:
    table = printed(table)
    sides = [' class="right"' if column.right else "" for column in table.columns]
    heads = "".join(
        f"<th{side}>{_text(column.heading)}</th>"
        for side, column in zip(sides, table.columns, strict=True)
    )
    rows = []
    for number, row in enumerate(sparse_texts(table)):
        cells = "".join(
            f"<td{side}>{_text(cell)}</td>" for side, cell in zip(sides, row, strict=True)
        )
        is_break = number in table.breaks
        rows.append(f'<tr class="break">{cells}</tr>' if is_break else f"<tr>{cells}</tr>")
    notes = f'<p class="notes">{_text(" ".join(table.notes))}</p>' if table.notes else ""
    shown = (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )
    if len(rows) <= LONGEST_TABLE or table.name == "results":
        return shown
    return f"<details><summary>{len(rows):,} rows</summary>{shown}</details>"


def _text(text: str) -> str:
    """Return text from outside as a page shows it."""
    return html.escape(plain_text(text))
