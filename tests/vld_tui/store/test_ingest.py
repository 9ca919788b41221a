from __future__ import annotations

import time

import msgspec
import pytest

from engine.protocol import AUGMENTED, Metric
from engine.rundir import ProcessInfo, write_atomic
from engine.rundir.life import HEARTBEAT_INTERVAL_S
from tests.vld_tui.store.told_runs import (
    SOURCES,
    TARGET,
    Teller,
    collapsed,
    data_prepared,
    evaluated,
    evaluation,
    failed,
    finished,
    model_prepared,
    numbered,
    started,
    steps_taken,
    stopped,
)
from vld_tui.runs.metrics import MetricPoint
from vld_tui.runs.run import Run
from vld_tui.store.query import Query
from vld_tui.store.store import Store


def _now(store: Store, run: Run) -> Run:
    store.live.refresh()
    return store.runs.get(run.run_id)


def test_a_finished_run_says_all_it_was(store: Store, run: Run, teller: Teller) -> None:
    teller.finishes()
    seen = _now(store, run)
    assert (seen.status, seen.collapsed, seen.error, seen.attempts) == ("finished", False, None, 1)
    assert (seen.step, seen.selected_step, seen.wall_s) == (20, 10, 12.5)
    assert (seen.id_accuracy, seen.ood_accuracy, seen.loss) == (0.8, 0.5, 1.0)
    assert seen.domains == {"noto": 0.8, "twemoji": 0.8, TARGET: 0.5}
    assert (seen.precision, seen.memory_format, seen.device) == ("bf16", "channels_last", "cpu")
    assert (seen.evaluation_precision, seen.evaluated_in) == (None, "bf16"), "as it trained"
    assert (seen.steps_per_s, seen.images_per_s, seen.seconds_left) == (2.0, 96.0, None)
    assert (seen.name, seen.tags, seen.spec) == (run.name, run.tags, run.spec)
    assert store.runs.find() == [seen]


def test_a_run_is_told_as_it_goes(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    assert _now(store, run).status == "running"
    teller.says(data_prepared(), model_prepared())
    assert _now(store, run).seconds_left == 160.0
    teller.says(steps_taken(5, 2.0))
    seen = _now(store, run)
    assert (seen.step, seen.loss, seen.seconds_left, seen.wall_s) == (5, 2.0, 147.5, 2.5)
    assert (seen.selected_step, seen.id_accuracy, seen.domains) == (None, None, {})
    teller.says(*evaluated(10, id_accuracy=0.6, ood_accuracy=0.4))
    seen = _now(store, run)
    assert (seen.status, seen.step, seen.selected_step) == ("running", 10, 10)
    assert (seen.id_accuracy, seen.ood_accuracy) == (0.6, 0.4)


def test_the_selected_step_has_the_best_id_accuracy_and_is_the_earliest_of_equals(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(
        data_prepared(),
        evaluation(5, id_accuracy=0.5, ood_accuracy=0.9),
        evaluation(10, id_accuracy=0.7, ood_accuracy=0.3),
        evaluation(15, id_accuracy=0.7, ood_accuracy=0.8),
        evaluation(20, id_accuracy=0.6, ood_accuracy=0.7, is_best=False),
    )
    seen = _now(store, run)
    assert (seen.selected_step, seen.id_accuracy, seen.ood_accuracy) == (10, 0.7, 0.3)
    assert seen.domains[TARGET] == 0.3


def test_domains_show_the_images_without_augmentation(
    store: Store, run: Run, teller: Teller
) -> None:
    told = evaluation(5, id_accuracy=0.5, ood_accuracy=0.3)
    plain = [Metric("out", name, "dropout", "accuracy", 0.7) for name in SOURCES]
    augmented = [Metric(AUGMENTED, name, "dropout", "accuracy", 0.5) for name in SOURCES]
    others = [each for each in told.metrics if each.split == "in"]
    teller.starts()
    teller.says(
        data_prepared(), msgspec.structs.replace(told, metrics=[*plain, *others, *augmented])
    )
    seen = _now(store, run)
    assert (seen.id_accuracy, seen.domains) == (0.5, {"noto": 0.7, "twemoji": 0.7, TARGET: 0.3})
    [kept] = store.series.metrics(run.run_id, split=AUGMENTED, domain="noto")
    assert (kept.step, kept.value) == (5, 0.5)


def test_a_finished_run_s_own_selection_counts(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(
        data_prepared(),
        evaluation(10, id_accuracy=0.7, ood_accuracy=0.3),
        evaluation(20, id_accuracy=0.6, ood_accuracy=0.4, is_best=False),
        finished(20, selected_step=20, id_accuracy=0.6, ood_accuracy=0.4),
    )
    seen = _now(store, run)
    assert (seen.selected_step, seen.id_accuracy, seen.ood_accuracy) == (20, 0.6, 0.4)
    assert seen.domains[TARGET] == 0.4


def test_metrics_are_read_by_curve(store: Store, run: Run, teller: Teller) -> None:
    teller.finishes()
    store.live.refresh()
    loss = store.series.metrics(run.run_id, name="loss", split="train", domain="sources")
    assert loss == [
        MetricPoint(10, "train", "sources", "dropout", "loss", 1.5),
        MetricPoint(20, "train", "sources", "dropout", "loss", 1.0),
    ]
    id_accuracy = store.series.metrics(run.run_id, domain="id")
    assert id_accuracy == [
        MetricPoint(10, "out", "id", "dropout", "accuracy", 0.8),
        MetricPoint(20, "out", "id", "dropout", "accuracy", 0.7),
    ]
    ood = store.series.metrics(run.run_id, domain="ood", split="in", name="accuracy")
    assert [point.value for point in ood] == [0.5, 0.6]
    domain = store.series.metrics(run.run_id, domain=SOURCES[0])
    assert [(point.name, point.value) for point in domain] == [
        ("accuracy", 0.8), ("accuracy", 0.7), ("loss", None), ("loss", None),
    ]  # fmt: skip
    assert {point.split for point in store.series.metrics(run.run_id, domain=TARGET)} == {
        "in",
        "out",
    }
    assert store.series.metrics(run.run_id, name="'; DROP TABLE metrics") == []


def test_the_last_checkpoints_are_known(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(*evaluated(10, id_accuracy=0.5, ood_accuracy=0.5))
    teller.says(*evaluated(20, id_accuracy=0.6, ood_accuracy=0.5))
    store.live.refresh()
    best, last = store.checkpoints.saved(run.run_id)
    assert (best.kind, best.step, best.bytes) == ("best", 20, 1020)
    assert (last.kind, last.step, last.file) == ("last", 20, "checkpoints/last.safetensors")


def test_a_stopped_and_a_failed_run_say_why(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(steps_taken(7, 1.0), stopped(8))
    seen = _now(store, run)
    assert (seen.status, seen.step, seen.error, seen.wall_s) == ("stopped", 8, None, 7.5)
    teller.starts(attempt=2, resumed_step=8)
    teller.says(failed("The loss is not finite.", step=11))
    seen = store.runs.get(run.run_id)
    assert (seen.status, seen.step, seen.error) == ("failed", 11, "The loss is not finite.")
    first, second = store.series.timeline(run.run_id)
    assert (first.outcome, first.reason, first.step) == ("stopped", "SIGTERM", 8)
    assert (second.outcome, second.reason, second.step) == ("failed", "The loss is not finite.", 11)
    assert (second.resumed_step, second.commit) == (8, "abc123")
    assert second.versions == {"torch": "2.8.0"}
    assert first.ended_at is not None
    assert first.started_at <= first.ended_at <= second.started_at


def test_a_refused_run_can_be_discarded(store: Store, run: Run, teller: Teller) -> None:
    teller.says(failed("No domain 'fluent-mon'.", refused=True))
    seen = _now(store, run)
    assert (seen.status, seen.error, seen.attempts) == ("failed", "No domain 'fluent-mon'.", 0)
    store.trash.discard(run.run_id)
    assert store.runs.find() == []
    assert not teller.run_dir.path.exists()


def test_a_collapse_is_a_flag_beside_the_status(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(steps_taken(10, 2.7), collapsed(10))
    seen = _now(store, run)
    assert (seen.status, seen.collapsed) == ("running", True)


Story = tuple[tuple[int, bool | None, float], ...]


@pytest.mark.parametrize(
    ("story", "is_flagged", "steps"),
    [
        (((40, True, 0.2), (240, False, 0.6)), False, (40, 240)),
        (((40, True, 0.2), (240, False, 0.1)), True, (40, 240)),
        (((40, False, 0.6), (80, True, 0.2)), False, (80, None)),
        (((40, True, 0.2), (80, True, 0.2)), True, (40, None)),
        (((40, True, 0.2), (60, False, 0.6), (80, True, 0.2)), False, (80, None)),
        (((40, True, 0.2), (60, False, 0.3), (80, True, 0.6)), True, (80, None)),
        (((40, None, 0.2), (60, False, 0.3)), False, (None, None)),
    ],
)
def test_a_collapse_is_that_of_the_selected_step(
    store: Store, run: Run, teller: Teller, story: Story, is_flagged: bool,
    steps: tuple[int | None, int | None],
) -> None:  # fmt: skip
    teller.starts()
    best: tuple[int, float] = (0, 0.0)
    for step, is_collapsed, accuracy in story:
        is_best = accuracy > best[1]
        best = (step, accuracy) if is_best else best
        event = evaluation(step, id_accuracy=accuracy, ood_accuracy=0.1, is_best=is_best)
        teller.says(msgspec.structs.replace(event, collapsed=is_collapsed))
        if is_collapsed:
            teller.says(collapsed(step))
            assert _now(store, run).collapsed, "an alarm while it runs"
    teller.says(finished(300, selected_step=best[0], id_accuracy=best[1], ood_accuracy=0.1))
    for seen in (_now(store, run), *(store.runs.find() if store.folders.rebuild() else ())):
        assert (seen.collapsed_step, seen.recovered_step) == steps
        assert seen.collapsed == is_flagged
    assert len(store.runs.find(Query.parse(f"collapsed={'yes' if is_flagged else 'no'}"))) == 1


@pytest.mark.parametrize(("resumed_step", "stays"), [(20, True), (19, False)])
def test_a_collapse_at_the_checkpoint_s_own_step_stays_after_a_resume(
    store: Store, run: Run, teller: Teller, resumed_step: int, stays: bool
) -> None:
    teller.starts()
    teller.says(*evaluated(20, id_accuracy=0.2, ood_accuracy=0.2), collapsed(20))
    store.live.refresh()
    teller.starts(attempt=2, resumed_step=resumed_step)
    seen = _now(store, run)
    assert (seen.collapsed, seen.collapsed_step) == ((True, 20) if stays else (False, None))


@pytest.mark.parametrize(("resumed_step", "recovered_step"), [(40, 40), (39, None)])
def test_a_recovery_at_the_checkpoint_s_own_step_stays_after_a_resume(
    store: Store, run: Run, teller: Teller, resumed_step: int, recovered_step: int | None
) -> None:
    sound = evaluation(40, id_accuracy=0.6, ood_accuracy=0.5)
    teller.starts()
    teller.says(*evaluated(20, id_accuracy=0.2, ood_accuracy=0.2), collapsed(20))
    teller.says(msgspec.structs.replace(sound, collapsed=False))
    store.live.refresh()
    teller.starts(attempt=2, resumed_step=resumed_step)
    seen = _now(store, run)
    assert (seen.collapsed_step, seen.recovered_step) == (20, recovered_step)


def test_a_resumed_run_says_again_what_came_after_its_checkpoint(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(data_prepared(), steps_taken(10, 1.5))
    teller.says(*evaluated(10, id_accuracy=0.6, ood_accuracy=0.4))
    teller.says(steps_taken(15, 1.2), evaluation(20, id_accuracy=0.9, ood_accuracy=0.9))
    teller.says(collapsed(20))
    store.live.refresh()
    teller.starts(attempt=2, resumed_step=10)
    seen = _now(store, run)
    assert (seen.step, seen.selected_step, seen.id_accuracy, seen.loss) == (10, 10, 0.6, 1.5)
    assert (seen.domains[TARGET], seen.collapsed, seen.attempts) == (0.4, False, 2)
    assert [
        point.step for point in store.series.metrics(run.run_id, name="loss", split="train")
    ] == [10]
    first, second = store.series.timeline(run.run_id)
    assert (first.outcome, second.outcome) == ("crashed", None)

    teller.says(steps_taken(15, 1.2), evaluation(20, id_accuracy=0.7, ood_accuracy=0.5))
    seen = _now(store, run)
    assert (seen.step, seen.selected_step, seen.id_accuracy) == (20, 20, 0.7)
    assert [point.step for point in store.series.metrics(run.run_id, domain="id")] == [10, 20]


def test_a_run_that_starts_over_forgets_its_first_attempt(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(steps_taken(5, 1.5), evaluation(5, id_accuracy=0.6, ood_accuracy=0.4))
    teller.starts(attempt=2, resumed_step=None)
    seen = _now(store, run)
    assert (seen.step, seen.selected_step, seen.loss, seen.domains) == (0, None, None, {})
    assert store.series.metrics(run.run_id) == []


def test_an_unterminated_line_is_left_for_later(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    line = numbered(steps_taken(5, 1.0), seq=1)
    teller.writes(line[:20])
    assert _now(store, run).step == 0
    teller.writes(line[20:])
    assert _now(store, run).step == 5
    assert _now(store, run).damaged_lines == 0


def test_a_damaged_line_is_skipped_and_counted(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.writes(b'{"type":"steps_taken","step":\n\xff\xfe\n{"type":"from_the_future"}\n')
    teller.writes(numbered(steps_taken(10**30, 1.0), seq=1))
    teller.writes(numbered(steps_taken(5, 1.0), seq=2))
    seen = _now(store, run)
    assert (seen.status, seen.step, seen.damaged_lines) == ("running", 5, 4)


def test_an_event_seen_before_is_not_taken_twice(store: Store, run: Run, teller: Teller) -> None:
    teller.says(started(), steps_taken(5, 1.0))
    teller.run_dir.write_process(1)
    store.live.refresh()
    teller.writes(numbered(steps_taken(3, 9.0), seq=1))
    assert store.runs.get(run.run_id).loss == 1.0


def test_reading_again_changes_nothing(store: Store, run: Run, teller: Teller) -> None:
    teller.finishes()
    first = _now(store, run)
    points = store.series.metrics(run.run_id)
    assert _now(store, run) == first
    assert store.series.metrics(run.run_id) == points


def test_a_replaced_event_log_is_read_from_its_start(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(steps_taken(5, 1.0), steps_taken(10, 0.5))
    store.live.refresh()
    teller.run_dir.events.unlink()
    teller.says(started(), steps_taken(3, 2.0))
    seen = _now(store, run)
    assert (seen.step, seen.loss, seen.attempts) == (3, 2.0, 1)
    assert [point.step for point in store.series.metrics(run.run_id)] == [3]


def test_only_live_runs_are_read_again_but_asking_for_one_looks(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(stopped(5))
    store.live.refresh()
    teller.says(started(attempt=2, resumed_step=5))
    store.live.refresh()
    assert [each.status for each in store.runs.find()] == ["stopped"]
    assert store.runs.get(run.run_id).status == "running"
    teller.says(steps_taken(6, 1.0))
    store.live.refresh()
    assert [each.step for each in store.runs.find()] == [6]


def test_a_run_on_another_host_is_looked_at_as_often_as_its_heart_beats(
    store: Store, run: Run, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("vld_tui.store.ingest.time.monotonic", lambda: now[0])
    elsewhere = ProcessInfo(pid=1, started_at=time.time(), host="elsewhere")
    write_atomic(teller.run_dir.process, msgspec.json.encode(elsewhere))
    teller.says(msgspec.structs.replace(started(), host="elsewhere"))
    store.live.refresh()
    assert status_of(store) == "running"
    store.live.refresh()
    teller.finishes()
    store.live.refresh()
    assert status_of(store) == "running"
    now[0] += HEARTBEAT_INTERVAL_S
    store.live.refresh()
    assert status_of(store) == "finished"


def status_of(store: Store) -> str:
    """Return what the list says of the only run, without looking into its folder."""
    return store.runs.find()[0].status


def test_of_equal_steps_a_resumed_run_has_selected_the_first(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(data_prepared())
    for step in (5, 10, 15):
        teller.says(evaluation(step, id_accuracy=0.6, ood_accuracy=step / 100, is_best=step == 5))
    teller.starts(attempt=2, resumed_step=15)
    seen = _now(store, run)
    assert (seen.selected_step, seen.id_accuracy, seen.ood_accuracy) == (5, 0.6, 0.05)
