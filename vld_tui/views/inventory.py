"""Networks, data sets and the state of the machine, as plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.protocol.datasets import DatasetListing
from vld_tui.views.columns import Column, table_lines
from vld_tui.views.text import plain_text

_WEIGHTS = {
    "packaged": "packaged: works offline",
    "cached": "downloaded before: works offline",
    "hub": "timm's hub: needs a network",
    "none": "none: only --weights none or a file",
}
_MODEL_COLUMNS = (
    Column("network", shrinks=True, narrowest=20),
    Column("weights", shrinks=True, narrowest=16),
)


def model_lines(models: Sequence[Mapping[str, Any]], *, cells: int | None) -> Iterator[str]:
    """Yield the table of networks; each has a name and where its weights are."""
    rows = [
        (
            plain_text(str(model["name"])),
            _WEIGHTS.get(model["weights"], plain_text(str(model["weights"]))),
        )
        for model in models
    ]
    yield from table_lines(_MODEL_COLUMNS, rows, cells)


def dataset_lines(datasets: Sequence[DatasetListing]) -> Iterator[str]:
    """Yield each data set with its domains, classes and place."""
    for index, dataset in enumerate(datasets):
        if index:
            yield ""
        images = sum(domain.images for domain in dataset.domains)
        classes = [plain_text(name) for name in dataset.classes]
        state = "" if dataset.complete else "  (incomplete)"
        yield f"{plain_text(dataset.name)}  {images:,} images, {len(classes)} classes{state}"
        for domain in dataset.domains:
            yield f"  {domain.images:>8,}  {plain_text(domain.name)}"
        yield f"  classes: {' '.join(classes)}"
        yield f"  where: {plain_text(str(dataset.where))}"


@dataclass(frozen=True)
class Check:
    """One thing looked at: whether it is all right, and what was found."""

    subject: str
    is_ok: bool
    finding: str


def check_lines(checks: Sequence[Check]) -> Iterator[str]:
    """Yield one line for each check."""
    cells = max(len(check.subject) for check in checks)
    for check in checks:
        sign = "✓" if check.is_ok else "✗"
        first, *others = plain_text(check.finding, keep_newlines=True).splitlines() or [""]
        yield f"{sign} {check.subject:<{cells}}  {first}"
        yield from (f"  {'':<{cells}}  {line}" for line in others)
