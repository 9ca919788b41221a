"""How each diagnostic is computed of a run's features: see :mod:`engine.protocol.diagnostics`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.diagnose.run_features import RunFeatures, SplitFeatures
from engine.diagnose.spectrum import spectrum_of
from engine.protocol.diagnostics import Finding, FindingTable, Settings
from engine.protocol.measures import Summary


@dataclass(frozen=True)
class Found:
    """What a diagnostic found; the fields are those of :class:`Diagnosis`."""

    values: Summary = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    tables: Mapping[str, FindingTable] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _rank(run: RunFeatures, _settings: Settings) -> Found:
    findings = []
    for each in run.judged():
        findings.append(_finding(each, "rank_me", spectrum_of(each.features).rank_me))
        if each.start is not None:
            findings.append(_finding(each, "rank_me_start", spectrum_of(each.start).rank_me))
    return Found(
        {"rank_me": summary_of(findings, run, "rank_me")},
        tuple(findings),
        notes=tuple(_few_images(run.judged())),
    )


def _few_images(splits: Sequence[SplitFeatures]) -> Iterator[str]:
    """Yield a note if a rank is limited by the number of images."""
    few = [each.domain for each in splits if len(each.features) < each.features.shape[1]]
    if few:
        dimension = splits[0].features.shape[1]
        yield (
            f"Fewer images than the {dimension:,} features on {', '.join(few)}: the rank cannot "
            "exceed the number of images. Compare only values of the same images."
        )


def _finding(of: SplitFeatures, name: str, value: float | None) -> Finding:
    return Finding(of.domain, of.split, name, known(value), images=len(of.labels))


def known(value: float | None) -> float | None:
    """Return a value; None if it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def summary_of(
    findings: Sequence[Finding], run: RunFeatures, name: str
) -> tuple[float | None, float | None]:
    """Return the mean over the sources' validation images, and the value of the target."""
    target = None if run.target is None else run.target.domain
    of_sources, of_target = [], None
    for each in findings:
        if each.name != name:
            continue
        if each.domain == target:
            of_target = each.value
        else:
            of_sources.append(each.value)
    values = [value for value in of_sources if value is not None]
    is_whole = values and len(values) == len(of_sources)
    return statistics.fmean(values) if is_whole else None, of_target


COMPUTED: Final[Mapping[str, Callable[[RunFeatures, Settings], Found]]] = {
    "rank": _rank,
}
"""How each of :data:`engine.protocol.diagnostics.DIAGNOSTICS` is computed."""
