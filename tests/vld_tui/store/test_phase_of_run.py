"""The phase a run is in, as the history and its readers see it."""

from msgspec.structs import replace

from engine.protocol import PhaseReported
from engine.protocol.phases import Phase
from tests.vld_tui.store.told_runs import (
    Teller,
    data_prepared,
    model_prepared,
    started,
    steps_taken,
    stopped,
)
from vld_tui.control.records import run_records
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.store.store import Store
from vld_tui.views.phase import activity
from vld_tui.views.run_columns import progress_cell

DECODING = PhaseReported(
    phase="decoding_images", done=2100, total=4898, elapsed_s=3.0, seconds_left=4.0
)
STEPPING = PhaseReported(phase="training", done=7, total=20)


def _now(store: Store, run: Run) -> Run:
    store.live.refresh()
    return store.runs.get(run.run_id)


def _phase(store: Store, run: Run) -> Phase | None:
    return _now(store, run).phase


def test_a_phase_lasts_until_another_event(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    assert _phase(store, run) is None
    teller.says(DECODING)
    seen = _now(store, run)
    assert seen.phase is not None
    assert (seen.phase.name, seen.phase.done, seen.phase.total) == ("decoding_images", 2100, 4898)
    assert activity(seen) == "decoding images 2,100/4,898 · 4s left"
    assert progress_cell(seen) == "decoding 42%"
    (record,) = run_records(store, [seen])
    assert record["phase"]["text"] == "decoding images 2,100/4,898"
    assert {"name", "done", "total", "detail", "seconds_left", "at"} <= record["phase"].keys()
    teller.says(data_prepared())
    assert _phase(store, run) is None
    teller.says(DECODING, stopped(0))
    seen = _now(store, run)
    assert (seen.phase, activity(seen)) == (None, "")
    assert run_records(store, [seen])[0]["phase"] is None


def test_steps_between_two_losses_count(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(data_prepared(), model_prepared(), steps_taken(5, 1.0), STEPPING)
    seen = _now(store, run)
    assert (seen.step, seen.loss) == (7, 1.0)
    assert activity(seen).startswith("training 7/20 · ")
    teller.starts(attempt=2, resumed_step=5)
    assert _now(store, run).step == 5


def test_a_dead_or_restarted_run_is_in_no_phase(store: Store, run: Run, teller: Teller) -> None:
    teller.starts()
    teller.says(DECODING)
    teller.starts(attempt=2)
    assert _phase(store, run) is None


def test_progress_keeps_the_phase_though_events_come_out_of_order() -> None:
    events = ((0, started()), (2, STEPPING), (1, steps_taken(5, 1.0)))
    progress = Progress.told_by(replace(event, seq=seq) for seq, event in events)
    assert progress.phase is not None
    assert progress.step == 7
