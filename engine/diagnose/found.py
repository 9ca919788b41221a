"""What a diagnostic finds on the splits of a run, and ID and OOD values of it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from engine.diagnose.run_features import RunFeatures, SplitFeatures
from engine.protocol.diagnostics import OF_START, Diagnosis, Finding, FindingTable
from engine.protocol.intervals import Interval
from engine.protocol.measures import MEASURES, Summary


@dataclass(frozen=True)
class Found:
    """What a diagnostic found; the fields are those of :class:`Diagnosis`."""

    values: Summary = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    tables: Mapping[str, FindingTable] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    summary: str = ""


def filled(plan: Diagnosis, compute: Callable[[], Found]) -> Diagnosis:
    """Return a diagnosis with what is found, when, and how long that took."""
    began = time.perf_counter()
    found = compute()
    return msgspec.structs.replace(
        plan,
        summary=found.summary,
        values=found.values,
        findings=found.findings,
        tables=dict(found.tables),
        notes=found.notes,
        computed_at=time.time(),
        wall_s=time.perf_counter() - began,
    )


class OfImages(Protocol):
    """Images of a split of a domain."""

    @property
    def domain(self) -> str:
        """Return the domain's name."""

    @property
    def split(self) -> str:
        """Return the split."""

    @property
    def images(self) -> int:
        """Return the number of images."""


def finding(
    of: OfImages, name: str, value: float | None, interval: Interval | None = None
) -> Finding:
    """Return a value on a split; None if it is not finite."""
    is_known = value is not None and math.isfinite(value)
    of_measure = MEASURES.get(name.removesuffix(OF_START))
    return Finding(
        of.domain, of.split, name, value if is_known else None, interval, of.images,
        "share" if of_measure is None else of_measure.unit,
    )  # fmt: skip


def findings_of(
    name: str,
    splits: Iterable[SplitFeatures],
    measure: Callable[[SplitFeatures], float | None],
) -> list[Finding]:
    """Return a value on each split."""
    return [finding(each, name, measure(each)) for each in splits]


def summary_of(
    findings: Sequence[Finding], run: RunFeatures, name: str, split: str = "out"
) -> tuple[float | None, float | None]:
    """Return the mean over the sources, of their validation images unless ``split`` is ``in``, and
    the value of the target.

    The mean is None if the value of a source is.
    """
    values = {(each.domain, each.split): each.value for each in findings if each.name == name}
    of_sources = [values.get((each.domain, each.split)) for each in run.sources(split)]
    known = [value for value in of_sources if value is not None]
    is_whole = bool(known) and len(known) == len(of_sources)
    target = run.target
    return (
        statistics.fmean(known) if is_whole else None,
        None if target is None else values.get((target.domain, target.split)),
    )


def few_images(splits: Sequence[SplitFeatures], what: str) -> Iterator[str]:
    """Yield a note if splits have fewer images than features; ``what`` follows."""
    few = [each.domain for each in splits if len(each.features) < each.features.shape[1]]
    if few:
        dimension = splits[0].features.shape[1]
        yield f"Fewer images than the {dimension:,} features on {', '.join(few)}: {what}"
