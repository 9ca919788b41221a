"""Both ID accuracies of a run whose validation images are augmented, wherever they are shown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.protocol import (
    AUGMENTED,
    JUDGED,
    ArmEvaluated,
    Evaluated,
    Event,
    Metric,
    MetricKey,
    RunFinished,
    RunSpec,
    resolve_spec,
)
from engine.rundir import RunDir
from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.control.records import run_record
from vld_tui.runs.curves import Story
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import ArmResult
from vld_tui.study.results.groups import group_by_seed
from vld_tui.views.accuracies import accuracy_rows, domain_results
from vld_tui.views.compare import compare_lines
from vld_tui.views.event_lines import story_lines
from vld_tui.views.plan import plan_rows
from vld_tui.words.numbers import signed

SPEC = resolve_spec({"steps": 10, "augment_validation": True, "target": "sketch"})
DOMAINS = {"art": 0.8, "photo": 0.6, "sketch": 0.3}
BOTH = "ID 61.6% augmented (66.4% plain)"
OWN = Evaluated(
    step=10, metrics=[], id_accuracy=0.616, ood_accuracy=0.3, plain_id_accuracy=0.664,
    is_best=True, wall_s=1.0,
)  # fmt: skip
AVERAGED = ArmEvaluated(
    step=10, arm="averaged", metrics=[], id_accuracy=0.616, ood_accuracy=0.3,
    plain_id_accuracy=0.664, is_best=True, wall_s=1.0,
)  # fmt: skip
END = RunFinished(
    step=10, selected_step=10, id_accuracy=0.616, ood_accuracy=0.3, plain_id_accuracy=0.664,
    wall_s=1.0, peak_memory_bytes=1,
)  # fmt: skip


def told(*events: Event) -> list[str]:
    progress, lines = Progress(), []
    for event in events:
        progress = progress.after(event)
        lines += story_lines(SPEC, progress, event)
    return lines


def test_every_line_of_a_run_has_both() -> None:
    lines = told(OWN, AVERAGED, END)
    assert len(lines) == 3
    assert all(f"{BOTH} · OOD 30.0%" in line for line in lines)
    assert all(BOTH in line for line in told(END))


def test_tables_of_a_run_have_both() -> None:
    progress = Progress.told_by([OWN, AVERAGED])
    rows = {row.name: (row.at_selected, row.note) for row in accuracy_rows(RunSpec(), progress)}
    assert rows["ID"] == (0.616, "augmented images")
    assert rows["ID plain"] == (0.664, "")
    assert rows["averaged ID plain"] == (0.664, "step 10")
    assert BOTH in str(domain_results(RunSpec(), progress, 100))
    alone = Progress.told_by([msgspec.structs.replace(OWN, plain_id_accuracy=None)])
    assert [row.name for row in accuracy_rows(RunSpec(), alone)] == ["ID", "OOD"]


def test_the_plan_says_what_selects() -> None:
    rows = dict(plan_rows(SPEC, Progress()))
    assert rows["selection"].startswith("by ID accuracy on augmented validation images")
    assert "selection" not in dict(plan_rows(resolve_spec({}), Progress()))


def test_records_have_both() -> None:
    run = make_run(1, spec=SPEC, domains=DOMAINS, id_accuracy=0.616)
    averaged = ArmResult("averaged", 10, 0.6, 0.3, {**DOMAINS, "art": 1.0})
    record = run_record(run, [averaged])
    assert (record["id_accuracy"], record["plain_id_accuracy"]) == (0.616, pytest.approx(0.7))
    assert record["arms"][0]["plain_id_accuracy"] == pytest.approx(0.8)
    plain = run_record(make_run(1, domains=DOMAINS), [])
    assert plain["plain_id_accuracy"] is None


def test_a_source_that_is_held_out_is_no_part_of_it() -> None:
    spec = resolve_spec({"augment_validation": True, "target": "sketch", "held_out_source": "art"})
    assert make_run(1, spec=spec, domains=DOMAINS).plain_id_accuracy == pytest.approx(0.6)
    assert make_run(1, spec=spec).plain_id_accuracy is None


def test_a_comparison_has_a_row_of_what_can_be_compared() -> None:
    plain = make_run(1, name="plain", spec=resolve_spec({"steps": 10, "target": "sketch"}))
    augmented = make_run(2, name="augmented", spec=SPEC, domains=DOMAINS, id_accuracy=0.616)
    arms = {
        run.run_id: [ArmResult("averaged", 10, id_accuracy, 0.35, {**DOMAINS, "art": 1.0})]
        for run, id_accuracy in ((plain, 0.8), (augmented, 0.6))
    }
    lines = compare_lines(group_by_seed([plain, augmented]), arms, cells=None)
    rows = {line[:26].strip(): line[26:].split() for line in lines}
    assert rows["augment-validation"] == ["no", "yes"]
    assert rows["ID"] == ["70.0%", "61.6%"]
    assert rows["ID, plain images"] == ["70.0%", "70.0%"]
    assert rows["averaged ID"] == ["80.0%", "60.0%"]
    assert rows["averaged ID, plain images"] == ["80.0%", "80.0%"]
    assert rows["OOD − ID, plain images"] == [signed(100 * (run.ood_accuracy or 0) - 70)
                                              for run in (plain, augmented)]  # fmt: skip
    alone = "\n".join(compare_lines(group_by_seed([plain]), cells=None))
    assert "plain images" not in alone


def test_a_long_log_is_told_with_both(tmp_path: Path) -> None:
    steps = np.array([5.0, 10.0])
    of = {
        ("out", JUDGED): [0.5, 0.6],
        (AUGMENTED, "art"): [0.5, 0.6], (AUGMENTED, "photo"): [0.5, 0.6],
        ("out", "art"): [0.7, 0.9], ("out", "photo"): [0.5, 0.7], ("out", "sketch"): [0.1, 0.1],
    }  # fmt: skip
    curves = {
        MetricKey("accuracy", *key, "dropout"): (steps, np.array(values))
        for key, values in of.items()
    }
    progress = Story(RunDir(tmp_path / "runs" / "r")).progress(curves, MetricKey.id("dropout"))
    assert [each.plain_id_accuracy for each in progress.evaluations] == pytest.approx([0.6, 0.8])
    assert Metric(AUGMENTED, "art", "dropout", "accuracy", 0.6) in progress.evaluations[1].metrics
