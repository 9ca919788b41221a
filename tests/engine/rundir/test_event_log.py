import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.protocol import (
    Evaluated,
    Event,
    EventDecodeError,
    Metric,
    RunStarted,
    RunStopped,
    decode_event,
)
from engine.rundir.event_log import EventLog

STARTED = RunStarted(
    protocol_version=1, attempt=1, pid=1, host="h", resumed_step=None, versions={}, commit=None
)
STOPPED = RunStopped(step=1, reason="SIGTERM", wall_s=0.0)


def read(path: Path) -> list[Event]:
    return [decode_event(line) for line in path.read_bytes().splitlines()]


def test_events_are_numbered_in_order_across_lives(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for expected_attempts in (0, 1):
        log = EventLog(path)
        assert log.attempts == expected_attempts
        log.record(STARTED)
        log.record(STOPPED)
        log.close()
    assert [event.seq for event in read(path)] == [0, 1, 2, 3]
    times = [event.time for event in read(path)]
    assert times == sorted(times)


def test_numbers_go_on_from_what_another_process_recorded_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    head = EventLog(path)
    head.record(STARTED)
    EventLog(path).record(STOPPED)
    with path.open("ab") as file:
        file.write(b'{"type":"run_stop')  # it was killed in mid-write
    head.catch_up()
    assert head.attempts == 1
    head.record(STOPPED)
    head.close()
    assert [event.seq for event in read(path)] == [0, 1, 2]


def test_a_torn_last_line_is_cut_before_going_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.record(STARTED)
    log.record(STOPPED)
    log.close()
    whole = path.read_bytes()
    for torn_at in range(1, len(whole)):
        path.write_bytes(whole[:torn_at])
        log = EventLog(path)
        log.record(STOPPED)
        log.close()
        events = read(path)
        assert [event.seq for event in events] == list(range(len(events)))


def test_a_disk_that_takes_half_an_event_keeps_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.record(STARTED)
    whole = path.read_bytes()
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, most))
    try:
        with pytest.raises(OSError, match="No space left"):
            log.record(STOPPED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    assert path.read_bytes() == whole
    log.record(STOPPED)
    log.close()
    assert [event.seq for event in read(path)] == [0, 1]


def test_a_value_that_is_not_finite_survives_as_none(tmp_path: Path) -> None:
    metric = Metric("out", "noto", "erm", "loss", None)
    event = Evaluated(
        step=1, metrics=[metric], id_accuracy=0.5, ood_accuracy=0.25, is_best=True, wall_s=1.0
    )
    log = EventLog(tmp_path / "events.jsonl")
    log.record(event)
    [back] = read(tmp_path / "events.jsonl")
    assert isinstance(back, Evaluated)
    assert back.metrics == [metric]


def test_damaged_lines_are_errors_of_ours() -> None:
    for line in (b"", b"{}", b'{"type":"nonsense"}', b'{"type":"run_stopped"}', b"[" * 10_000):
        try:
            decode_event(line)
        except EventDecodeError:
            continue
        raise AssertionError(line)


BURST = """
import os, sys
from pathlib import Path
from engine.rundir.event_log import EventLog
from engine.protocol import RunStopped
log = EventLog(Path(sys.argv[1]))
for step in range(1000):
    log.record(RunStopped(step=step, reason="", wall_s=0.0))
os.kill(os.getpid(), 9)
"""


def test_what_was_recorded_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", BURST, str(path)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [event.seq for event in read(path)] == list(range(1000))


def test_it_knows_an_attempt_that_said_no_last_word(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    assert log.unended is None
    log.record(STARTED)
    assert EventLog(path).unended == read(path)[0]
    log.record(STOPPED)
    assert EventLog(path).unended is None
