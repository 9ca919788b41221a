"""Results of diagnostics, without computing any."""

from __future__ import annotations

from engine.protocol.diagnostics import Diagnosis, Finding, FindingTable
from engine.protocol.intervals import Interval


def make_diagnosis(
    of_id: float | None = 69.14,
    of_ood: float | None = None,
    *,
    step: int = 10,
    rows: int = 2,
    target: str = "fluent-mono",
) -> Diagnosis:
    """Return RankMe of a run, with a curve of so many rows."""
    return Diagnosis(
        diagnostic="rank",
        arm="dropout",
        step=step,
        checkpoint="abc",
        data_digest="def",
        values={"rank_me": (of_id, of_ood)},
        findings=(
            Finding("noto", "out", "rank_me", of_id, images=90, unit="number"),
            Finding("noto", "out", "rank_me_start", 74.9, images=90, unit="number"),
            Finding(target, "in", "rank_me", of_ood, images=80, unit="number"),
            Finding(target, "in", "cka", 0.5, Interval(0.4, 0.6), 90),
        ),
        tables={"curve": FindingTable("A curve", ("x", "y"), ((0.1, None),) * rows)},
        notes=("A note.",),
    )
