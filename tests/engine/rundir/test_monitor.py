"""Samples of the machine and of the time, as events."""

import os
from pathlib import Path

import pytest

from engine.protocol import SystemSampled, decode_event
from engine.rundir import monitor as module
from engine.rundir.event_log import EventLog
from engine.rundir.monitor import Monitor
from engine.rundir.phases import Phases
from engine.rundir.usage import GpuUse, MachineUse, ProcessUse, machine_use, process_use


class Machine:
    """A machine with two processors whose clock and use are set by hand."""

    now, busy_s, run_s, memory_gib = 1000.0, 0.0, 0.0, 4.0
    reading_s = 0.0
    gpus: tuple[GpuUse, ...] = ()

    def clock(self) -> float:
        return self.now

    def pass_s(self, seconds: float, *, busy: float = 1.0, run: float = 0.5) -> None:
        """Let time pass, with a share of both processors busy, and of them used by the run."""
        self.now += seconds
        self.busy_s += 2 * seconds * busy
        self.run_s += 2 * seconds * run

    def machine_use(self, _folder: Path) -> MachineUse:
        self.now += self.reading_s
        return MachineUse(self.busy_s, 2 * self.now, 1.5, self.memory_gib, 70.0)

    def process_use(self, _pid: int, *, with_children: bool) -> ProcessUse:
        return ProcessUse(self.run_s, self.memory_gib / 2)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr("time.monotonic", machine.clock)
    monkeypatch.setattr(module, "machine_use", machine.machine_use)
    monkeypatch.setattr(module, "process_use", machine.process_use)
    monkeypatch.setattr(module, "gpu_use", lambda index: machine.gpus[index])
    monkeypatch.setattr("psutil.cpu_count", lambda: 2)
    return machine


def samples(log: EventLog) -> list[SystemSampled]:
    events = map(decode_event, log._path.read_bytes().splitlines())
    return [each for each in events if isinstance(each, SystemSampled)]


def train(phases: Phases, machine: Machine, steps: int, step_s: float) -> None:
    training = phases.begin("training", steps)
    for step in range(1, steps + 1):
        machine.pass_s(step_s)
        phases.monitor.step = step
        training.reached(step)
    phases.monitor.finish()


def test_a_sample_says_what_was_used_since_the_previous_one(
    log: EventLog, machine: Machine, tmp_path: Path
) -> None:
    phases = Phases(log, Monitor(log, tmp_path))
    training = phases.begin("training", 100)
    phases.monitor.waited_s = lambda: 3.0
    machine.memory_gib = 9.0
    machine.pass_s(10, busy=0.8, run=0.4)
    phases.monitor.step = 5
    training.reached(5)
    machine.memory_gib, phases.monitor.step = 6.0, 6
    machine.pass_s(4, busy=0.2, run=0.1)
    with phases.begin("evaluating", 8) as evaluating:
        machine.pass_s(5, busy=0.2, run=0.1)
        with phases.begin("saving_checkpoint"):
            machine.pass_s(1, busy=0.2, run=0.1)
        evaluating.reached(4)
    first, second = samples(log)[0], samples(log)[-1]
    assert (first.step, first.interval_s, first.cpu_share, first.run_cpu_share) == (5, 10, 0.8, 0.4)
    assert (first.run_memory_gib, first.memory_gib, first.load) == (4.5, 9.0, 1.5)
    assert first.gpu_share is None
    assert (first.waiting_share, first.computing_share) == (0.3, 0.7)
    assert (second.cpu_share, second.run_cpu_share, second.memory_gib) == (0.2, 0.1, 6.0)
    assert (second.step, second.interval_s) == (6, 10)
    shares = (second.computing_share, second.evaluating_share, second.saving_share)
    assert shares == (0.4, 0.5, 0.1)


def test_a_later_sample_of_a_step_includes_the_earlier_ones(
    log: EventLog, machine: Machine, tmp_path: Path
) -> None:
    phases = Phases(log, Monitor(log, tmp_path))
    decoding = phases.begin("decoding_images", 1000)
    machine.memory_gib = 8.0
    for done in range(1, 31):
        machine.pass_s(1)
        decoding.reached(done)
        machine.memory_gib = 4.0
    found = samples(log)
    assert {each.step for each in found} == {0}
    assert [each.interval_s for each in found] == [10, 20, 30]
    assert [each.preparing_share for each in found] == [1, 1, 1]
    train(phases, machine, 60, 1)
    kept = {each.step: each for each in samples(log)}  # as they are stored
    assert sum(each.interval_s for each in kept.values()) == pytest.approx(90)


@pytest.mark.parametrize(("step_s", "steps"), [(1.0, 604_800), (3600.0, 168), (0.01, 100_000)])
def test_samples_stay_few_however_long_a_run_is(
    log: EventLog, machine: Machine, tmp_path: Path, step_s: float, steps: int
) -> None:
    train(Phases(log, Monitor(log, tmp_path)), machine, steps, step_s)
    found = samples(log)
    assert 100 <= len(found) <= 1000
    assert sum(each.interval_s for each in found) == pytest.approx(step_s * steps)


def test_readings_take_a_small_share_of_the_time_however_slow_they_are(
    log: EventLog, machine: Machine, tmp_path: Path
) -> None:
    phases = Phases(log, Monitor(log, tmp_path))
    machine.reading_s, began = 0.5, machine.now
    train(phases, machine, 1000, 1.0)
    assert machine.now - began - 1000 <= 0.006 * 1000


def test_a_run_of_seconds_has_a_sample_at_its_end(
    log: EventLog, machine: Machine, tmp_path: Path
) -> None:
    train(Phases(log, Monitor(log, tmp_path)), machine, 6, 1.0)
    (only,) = samples(log)
    assert (only.step, only.interval_s) == (6, 6)


def test_gpus_are_averaged_and_summed(
    log: EventLog, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "gpus_by_uuid", lambda uuids: tuple(range(len(uuids))))
    monitor = Monitor(log, tmp_path)
    machine.gpus = (GpuUse(0.9, 10, 80, 300.0), GpuUse(0.5, 12, 80, None))
    monitor.watch(["GPU-a", "GPU-b"])
    train(Phases(log, monitor), machine, 10, 1.0)
    (only,) = samples(log)
    assert (only.gpu_share, only.gpu_memory_gib, only.gpu_power_w) == (0.7, 22, 300)


def test_this_process_and_this_machine_can_be_read(tmp_path: Path) -> None:
    use, machine = process_use(os.getpid()), machine_use(tmp_path)
    assert use is not None
    assert machine is not None
    assert use.memory_gib > 0.01
    assert 0 < machine.busy_s < machine.processor_s
    assert process_use(2**22 + 1) is None
