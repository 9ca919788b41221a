"""The phase that a run is in, as events."""

import pytest

from engine.protocol import PhaseReported, StepsTaken, decode_event
from engine.protocol.phases import Phase, phase_words
from engine.rundir.event_log import EventLog
from engine.rundir.phases import MOST_REPORTS, Phases

STEPS = StepsTaken(
    step=1, loss=1.0, lr=0.1, head_lr=0.1, steps_per_s=1.0, images_per_s=1.0, elapsed_s=1.0,
    seconds_left=None,
)  # fmt: skip


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def reports(log: EventLog) -> list[PhaseReported]:
    lines = log._path.read_bytes().splitlines()
    return [each for each in map(decode_event, lines) if isinstance(each, PhaseReported)]


def test_a_phase_is_reported_when_it_begins_and_then_now_and_then(
    log: EventLog, clock: Clock
) -> None:
    phase = Phases(log).begin("decoding_images", 1000)
    for done in range(1, 1001):
        clock.now += 0.1
        phase.reached(done)
    found = reports(log)
    assert (found[0].done, found[0].total, found[0].seconds_left) == (0, 1000, None)
    assert 40 <= len(found) <= 52, "every two seconds of a hundred"
    half = next(each for each in found if (each.done or 0) >= 500)
    assert half.seconds_left == pytest.approx(50, abs=3)
    assert half.elapsed_s == pytest.approx(50, abs=3)


@pytest.mark.parametrize("total", [100_000, None])
def test_reports_stay_few_however_long_a_phase_is(
    log: EventLog, clock: Clock, total: int | None
) -> None:
    phase = Phases(log).begin("computing_features", total)
    for done in range(1, 100_001):
        clock.now += 1.0
        phase.reached(done)
    assert len(reports(log)) <= 1.5 * MOST_REPORTS


def test_a_part_that_takes_long_is_reported_once_before_it(log: EventLog, clock: Clock) -> None:
    phase = Phases(log).begin("timing_precisions", 4, done=1, is_paced=False)
    for done in (2, 3, 4):
        clock.now += 5.0 if done > 2 else 0.1
        phase.reached(done, at_once=True)
    assert [each.done for each in reports(log)] == [1, 2, 3, 4]


def test_other_events_take_the_place_of_reports(log: EventLog, clock: Clock) -> None:
    phase = Phases(log).begin("training", 30, done=10)
    for step in range(11, 31):
        clock.now += 3.0
        if step % 2:
            log.record(STEPS)
        phase.reached(step)
    found = reports(log)
    assert [each.done for each in found] == [10, *range(12, 31, 2)]
    assert found[-2].seconds_left == pytest.approx(6.0)


def test_a_phase_that_was_short_is_not_reported_at_its_next_beginning(
    log: EventLog, clock: Clock
) -> None:
    phases = Phases(log)
    for lasts, was_reported in ((1.0, 1), (5.0, 1), (5.0, 2)):
        with phases.begin("evaluating", 100, detail="noto"):
            clock.now += lasts
        assert len(reports(log)) == was_reported
    assert {each.detail for each in reports(log)} == {"noto"}


def test_words_name_the_progress_and_what_later_runs_do_not_do() -> None:
    assert phase_words(Phase("decoding_images", 2100, 4898)) == "decoding images 2,100/4,898"
    assert phase_words(Phase("timing_precisions", 3, 4)) == "timing precisions 3/4 (first run only)"
    assert phase_words(Phase("evaluating", 10, 40, "noto")) == "evaluating noto 10/40"
    assert phase_words(Phase("building_network")) == "building the network"
    assert phase_words(Phase("of_a_newer_version")) == "of a newer version"
