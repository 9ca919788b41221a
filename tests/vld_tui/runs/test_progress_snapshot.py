from engine.protocol import (
    ArmEvaluated,
    BarrierMeasured,
    DataPrepared,
    DomainInfo,
    Evaluated,
    Event,
    HeadTrained,
    Metric,
    RunSpec,
    RunStopped,
    StepsTaken,
)
from tests.vld_tui.store.told_runs import finished, model_prepared, started
from vld_tui.runs.progress import MAX_LOSSES, Progress, domain_accuracy
from vld_tui.views.accuracies import accuracy_rows


def steps(step: int, *, loss: float | None = 1.0, time: float = 0.0) -> StepsTaken:
    return StepsTaken(
        step=step,
        loss=loss,
        lr=0.1,
        head_lr=0.1,
        steps_per_s=2.0,
        images_per_s=96.0,
        elapsed_s=step / 2,
        seconds_left=50.0,
        time=time,
    )


def evaluated(step: int, id_accuracy: float, ood_accuracy: float = 0.4) -> Evaluated:
    return Evaluated(
        step=step,
        metrics=[
            Metric("out", "noto", "erm", "accuracy", id_accuracy),
            Metric("in", "noto", "erm", "accuracy", 0.99),
            Metric("in", "fluent", "erm", "accuracy", ood_accuracy),
            Metric("out", "fluent", "erm", "accuracy", 0.01),
        ],
        id_accuracy=id_accuracy,
        ood_accuracy=ood_accuracy,
        is_best=True,
        wall_s=1.0,
    )


def after(*events: Event) -> Progress:
    return Progress.told_by(events)


def test_the_selected_step_has_the_best_id_accuracy_whatever_ood_says() -> None:
    progress = after(
        started(), evaluated(50, 0.6, 0.9), evaluated(100, 0.7, 0.2), evaluated(150, 0.7, 0.8)
    )
    assert progress.selected is not None
    assert progress.selected.step == 100
    assert progress.step == 150


def test_nothing_is_selected_before_the_first_evaluation() -> None:
    progress = after(started(), steps(10))
    assert progress.selected is None
    assert progress.step == 10


def test_a_resumed_run_replaces_what_it_repeats() -> None:
    progress = after(
        started(),
        HeadTrained(steps=10, loss=1.0, wall_s=1.0),
        steps(10),
        evaluated(10, 0.5),
        steps(20, loss=3.0),
        evaluated(20, 0.9),
        RunStopped(step=20, reason="SIGTERM", wall_s=1.0),
        started(attempt=2, resumed_step=10),
    )
    assert progress.end is None
    assert progress.step == 10
    assert [each.step for each in progress.evaluations] == [10]
    assert progress.head is not None
    progress = progress.after(steps(20, loss=2.0)).after(evaluated(20, 0.8))
    assert [(each.step, each.loss) for each in progress.losses] == [(10, 1.0), (20, 2.0)]
    assert [each.id_accuracy for each in progress.evaluations] == [0.5, 0.8]


def test_a_run_taken_up_from_nothing_forgets_everything() -> None:
    progress = after(started(), steps(10), evaluated(10, 0.5), started(attempt=2))
    assert progress == Progress(heard_at=0.0, started=started(attempt=2))


def test_the_time_left_runs_down_between_estimates_and_never_below_zero() -> None:
    progress = after(started(), steps(10, time=1000.0))
    assert progress.seconds_left(1020.0) == 30.0
    assert progress.seconds_left(2000.0) == 0.0
    assert Progress().seconds_left(0.0) is None


def test_loss_readings_are_thinned_out_not_dropped() -> None:
    progress = after(started(), *(steps(step) for step in range(1, 3000)))
    assert len(progress.losses) <= MAX_LOSSES + 1
    assert progress.losses[-1].step == 2999
    assert progress.losses[0].step < 100


def test_a_source_is_judged_on_its_validation_images_the_target_on_its_in_split() -> None:
    evaluation = evaluated(10, 0.7, 0.4)
    assert domain_accuracy(evaluation, "noto", is_target=False) == 0.7
    assert domain_accuracy(evaluation, "fluent", is_target=True) == 0.4
    assert domain_accuracy(evaluation, "absent", is_target=False) is None


def test_domains_come_with_the_target_last() -> None:
    domains = [DomainInfo(name, name == "b", 10, 8, 2) for name in ("a", "b", "c")]
    progress = after(
        started(),
        DataPrepared(
            dataset="x", target="b", classes=["k"], domains=domains, skipped=[], wall_s=0.0
        ),
    )
    assert progress.domains() == [("a", False), ("c", False), ("b", True)]


def test_the_end_is_kept() -> None:
    end = finished(10, selected_step=10, id_accuracy=0.7, ood_accuracy=0.4)
    assert after(started(), end).end is end


def test_the_network_is_forgotten_until_a_new_attempt_has_prepared_it() -> None:
    model = model_prepared()
    progress = after(started(), model)
    assert progress.model is model
    assert progress.after(started(attempt=2, resumed_step=5)).model is None


def arm(step: int, name: str, accuracy: float) -> ArmEvaluated:
    return ArmEvaluated(
        step=step, arm=name, metrics=[], id_accuracy=accuracy, ood_accuracy=accuracy / 2,
        is_best=True, wall_s=1.0,
    )  # fmt: skip


def test_arms_are_kept_apart_and_forgotten_with_the_steps_a_resumed_run_repeats() -> None:
    progress = after(
        started(), arm(10, "averaged", 0.5), arm(10, "ensemble", 0.4), arm(20, "averaged", 0.6)
    )
    assert [each.step for each in progress.arms["averaged"]] == [10, 20]
    rows = {row.name: row for row in accuracy_rows(RunSpec(), progress)}
    assert rows["averaged ID"].at_selected == 0.6
    assert rows["averaged OOD"].values == (0.25, 0.3)
    assert rows["averaged OOD"].note == "step 20"
    resumed = progress.after(started(2, resumed_step=10))
    assert [each.step for each in resumed.arms["averaged"]] == [10]


def test_every_barrier_is_kept() -> None:
    barriers = [
        BarrierMeasured(
            first="a", second=second, loss_barrier=0.1, accuracy_barrier=0.2, is_barrier=True
        )
        for second in "bc"
    ]
    assert after(*barriers).barriers == tuple(barriers)
