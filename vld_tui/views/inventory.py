"""Networks, data sets and checks of the machine, as plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.protocol.datasets import CacheEntry, DatasetListing, left_out_text
from engine.protocol.exclude_lists import exclusions_text
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, moment, plural, size
from vld_tui.words.text import plain_text

_WEIGHTS = {
    "packaged": "packaged: works offline",
    "cached": "downloaded before: works offline",
    "hub": "timm's hub: needs a network",
    "none": "none: only --weights none or a file",
}
_MODEL_COLUMNS = (
    Column("network", rank=100, shrinks=True, narrowest=12),
    Column("weights", rank=99, shrinks=True, narrowest=12),
)


def model_lines(models: Sequence[Mapping[str, Any]], *, cells: int | None) -> Iterator[str]:
    """Yield the table of networks and where their weights are."""
    rows = [
        (
            plain_text(str(model["name"])),
            plain_text(weights_words(str(model["weights"]))),
        )
        for model in models
    ]
    yield from table_lines(_MODEL_COLUMNS, rows, cells)


def weights_words(weights: str) -> str:
    """Return where a network's weights are, as text."""
    return _WEIGHTS.get(weights, weights)


_DATASET_COLUMNS = (
    Column("", rank=100),
    Column("data set", rank=100),
    Column("images", right=True, rank=99),
    Column("classes", right=True, rank=98),
    Column("size", right=True, rank=50),
    Column("domains", rank=90, shrinks=True, narrowest=20),
    Column("where", rank=40, shrinks=True, narrowest=16),
)


def dataset_table(datasets: Sequence[DatasetListing], *, cells: int | None) -> Iterator[str]:
    """Yield a line for each data set: whether it is here and complete, its size, its folder."""
    rows = []
    for dataset in datasets:
        images = sum(domain.images for domain in dataset.domains)
        expected = sum(domain.expected or 0 for domain in dataset.domains)
        is_here = dataset.where is not None
        rows.append(
            (
                "✓" if dataset.complete else ("✗" if is_here else "–"),
                plain_text(dataset.name),
                f"{images if is_here else expected:,}",
                str(len(dataset.classes)) if dataset.classes else UNKNOWN,
                size(dataset.size_bytes) if is_here else UNKNOWN,
                plain_text(" ".join(domain.name for domain in dataset.domains)),
                plain_text(dataset.where) if dataset.where else "not here",
            )
        )
    yield from table_lines(_DATASET_COLUMNS, rows, cells)
    for dataset in datasets:
        if text := exclusions_text(dataset.left_out):
            yield f"! {plain_text(dataset.name)}: {text}"
    if not all(dataset.complete for dataset in datasets):
        yield "✗ incomplete  – not here; how to get it: vld data ls NAME"


_CACHE_COLUMNS = (
    Column("data set", rank=100, shrinks=True, narrowest=12),
    Column("cached", rank=99, shrinks=True, narrowest=12),
    Column("size", right=True, rank=98),
    Column("last used", rank=50),
)


def cache_table(entries: Sequence[CacheEntry], *, cells: int | None) -> Iterator[str]:
    """Yield a line for the images of each data set and size and for the features of each network,
    then the total."""
    groups: dict[tuple[str, str], list[CacheEntry]] = {}
    for entry in entries:
        groups.setdefault((entry.dataset or UNKNOWN, _cached(entry)), []).append(entry)
    rows = [
        (
            plain_text(dataset),
            plain_text(what) + _views(of_group),
            size(sum(entry.size_bytes for entry in of_group)),
            moment(max(entry.used_at for entry in of_group)),
        )
        for (dataset, what), of_group in sorted(groups.items())
    ]
    yield from table_lines(_CACHE_COLUMNS, rows, cells)
    yield f"total: {size(sum(entry.size_bytes for entry in entries))}"


def _cached(entry: CacheEntry) -> str:
    side = f" at {entry.image_size} px" if entry.image_size else ""
    if entry.model is None:
        return f"{entry.kind}{side}"
    return f"{entry.features} features{side}: {entry.model}, weights {entry.weights}"


def _views(entries: Sequence[CacheEntry]) -> str:
    views = sum(isinstance(entry.view, int) for entry in entries)
    return f", {plural(views, 'view')}" if views else ""


def dataset_detail(dataset: DatasetListing) -> Iterator[str]:
    """Yield a data set with its domains, classes, folder and notes."""
    images = sum(domain.images for domain in dataset.domains)
    classes = [plain_text(name) for name in dataset.classes]
    state = "" if dataset.complete else ("  (incomplete)" if dataset.where else "  (not here)")
    count = f"{plural(images, 'image')}, {plural(len(classes), 'class')}" if dataset.where else ""
    yield f"{plain_text(dataset.name)}  {count}{state}"
    for domain in dataset.domains:
        published = ""
        if domain.expected is not None and domain.expected != domain.images:
            published = f"  of {domain.expected:,} published"
        yield f"  {domain.images:>8,}  {plain_text(domain.name)}{published}"
    if classes:
        yield f"  classes: {' '.join(classes)}"
    if dataset.where is not None:
        yield f"  where: {plain_text(dataset.where)}  {size(dataset.size_bytes)}"
    if dataset.licenses:
        licenses = (f"{domain} {licence}" for domain, licence in dataset.licenses.items())
        yield f"  licences: {plain_text(' · '.join(licenses))}"
    if dataset.reading:
        yield f"  {plain_text(dataset.reading)}"
    if dataset.left_out:
        yield f"! {plain_text(left_out_text(dataset.left_out))}"
    yield from (f"  {plain_text(note)}" for note in dataset.notes)


@dataclass(frozen=True)
class Check:
    """One check: its result and findings."""

    subject: str
    is_ok: bool
    finding: str


def check_lines(checks: Sequence[Check], *, optional: Sequence[str] = ()) -> Iterator[str]:
    """Yield one line for each check; ``optional`` subjects may fail without being an error."""
    cells = max(len(check.subject) for check in checks)
    for check in checks:
        sign = "✓" if check.is_ok else "!" if check.subject in optional else "✗"
        first, *others = plain_text(check.finding, keep_newlines=True).splitlines() or [""]
        yield f"{sign} {check.subject:<{cells}}  {first}"
        yield from (f"  {'':<{cells}}  {line}" for line in others)
