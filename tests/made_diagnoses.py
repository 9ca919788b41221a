"""Results of diagnostics, without computing any."""

from __future__ import annotations

from functools import partial

from engine.protocol.diagnostics import Diagnosis, Finding, FindingTable
from engine.protocol.intervals import Interval
from engine.rundir import StoredDiagnoses


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


def make_diagnoses(step: int = 150) -> StoredDiagnoses:
    """Return diagnoses of both topics with words, tables and what can be drawn."""
    of_run = partial(Diagnosis, arm="dropout", step=step, checkpoint="abc", data_digest="def")
    kept = FindingTable(
        "Accuracy by share of units kept", ("kept", "units", "noto", "noto sd"),
        (("100%", 512, 0.8, None), ("10%", 51, 0.7, 0.02), ("1%", 5, 0.3, 0.05)),
    )  # fmt: skip
    bins = FindingTable(
        "Reliability", ("above", "to", "images", "confidence", "accuracy"),
        ((0.0, 0.5, 30, 0.4, 0.5), (0.5, 1.0, 60, 0.9, 0.7)),
    )  # fmt: skip
    between = FindingTable(
        "Distances between domains", ("domain", "noto", "fluent-mono"),
        (("noto", 0.0, 0.64), ("fluent-mono", 0.64, 0.0)),
    )  # fmt: skip
    risks = FindingTable(
        "Error rate by share of images kept", ("kept", "msp"),
        ((0.1, 0.0), (0.5, 0.1), (1.0, 0.4)),
    )  # fmt: skip
    found = (
        of_run(diagnostic="units", tables={"shares": kept}),
        of_run(diagnostic="calibration", tables={"source": bins}),
        of_run(
            diagnostic="probe", summary="The target is far from the sources (AUC 0.98).",
            values={"target_auc": (None, 0.98)},
            findings=(Finding("fluent-mono", "in", "target_auc", 0.98, Interval(0.97, 0.99), 90),),
        ),
        of_run(
            diagnostic="distances", values={"wasserstein": (0.1, 0.64)},
            tables={"between": between},
        ),
        of_run(diagnostic="detection", tables={"risk_coverage": risks}),
    )  # fmt: skip
    return StoredDiagnoses({each.diagnostic: each for each in found})
