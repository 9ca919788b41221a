"""Samples of the machine in the history of runs."""

from engine.protocol import PhaseReported, SystemSampled
from engine.protocol.system import SYSTEM_METRICS
from tests.vld_tui.store.told_runs import Teller, evaluated, steps_taken
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

MEMORY = SYSTEM_METRICS["run_memory_gib"].key


def sample(step: int, memory_gib: float) -> SystemSampled:
    return SystemSampled(
        step=step, interval_s=10.0, run_cpu_share=0.5, run_memory_gib=memory_gib,
        waiting_share=0.2, computing_share=0.8,
    )  # fmt: skip


def memory(store: Store, run: Run) -> list[tuple[int, float]]:
    store.live.refresh()
    (series,) = (each for each in store.series.all(run.run_id) if each.key == MEMORY)
    return list(zip(series.points.steps, series.points.values, strict=True))


def test_a_sample_takes_the_place_of_an_earlier_one_of_its_step(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.starts()
    teller.says(sample(0, 1.0))
    assert memory(store, run) == [(0, 1.0)]
    teller.says(sample(0, 2.0), sample(5, 3.0))
    assert memory(store, run) == [(0, 2.0), (5, 3.0)]
    store.folders.rebuild()
    assert memory(store, run) == [(0, 2.0), (5, 3.0)]
    teller.starts(attempt=2, resumed_step=3)
    assert memory(store, run) == [(0, 2.0)]


def test_a_phase_lasts_across_a_sample(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(PhaseReported(phase="decoding_images", done=1, total=9), sample(0, 1.0))
    store.live.refresh()
    phase = store.runs.get(run.run_id).phase
    assert phase is not None
    assert phase.name == "decoding_images"


def test_samples_are_not_among_the_accuracies(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(
        steps_taken(5, 1.0), *evaluated(10, id_accuracy=0.5, ood_accuracy=0.5), sample(10, 1.0)
    )
    store.live.refresh()
    splits = {each.split for each in store.series.metrics(run.run_id)}
    assert "system" not in splits
    of_system = store.series.metrics(run.run_id, split="system")
    assert {each.name for each in of_system} >= {"run_cpu_share", "waiting_share"}
    assert all(each.step == 10 for each in of_system)
    assert "gpu_share" not in {each.name for each in of_system}, "there is no GPU"
