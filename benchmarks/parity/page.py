"""The parity table as Markdown, and the page that holds it."""

from __future__ import annotations

import platform
from typing import Final

import numpy as np
import PIL
import timm
import torch
import torchvision

from benchmarks.parity.row import Row
from benchmarks.revision import ROOT, revision
from engine.machine.processor import cpu_name, usable_cores

PAGE: Final = ROOT / "docs" / "parity.md"
BEGIN: Final = "<!-- the table: make parity -->"
END: Final = "<!-- end of the table -->"
HEADINGS: Final = (
    "| what | theirs | ours | cases | result |",
    "|---|---|---|---|---|",
)


def facts() -> str:
    """Return the machine, the versions and the revision."""
    versions = {
        "Python": platform.python_version(), "torch": torch.__version__,
        "torchvision": torchvision.__version__, "timm": timm.__version__,
        "NumPy": np.__version__, "Pillow": PIL.__version__,
    }  # fmt: skip
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"Revision {revision()}; {cpu_name()}, {usable_cores()} cores; {named}."


def part_line(part: str) -> str:
    """Return the line that begins a part of the table."""
    return f"| **{part}** | | | | |"


def row_line(row: Row) -> str:
    """Return a row."""
    verdict = row.expected.value if row.holds else "UNEXPECTED"
    cells = (row.what, row.theirs, row.ours, row.compared, f"**{verdict}**: {row.result}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def write_page(lines: list[str]) -> None:
    """Replace the table of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join([BEGIN, *lines, END])
    PAGE.write_text(before + table + after, encoding="utf-8")
