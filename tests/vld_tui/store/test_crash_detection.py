from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import psutil
import pytest

from engine.protocol import AttemptEnd, resolve_spec
from engine.rundir import ExitInfo, ProcessInfo, RunDir, write_atomic
from engine.rundir.life import HEARTBEAT_STALE_S, is_alive
from tests.vld_tui.store.told_runs import Teller, dead_process, started, steps_taken, stopped
from tests.waiting import wait_until
from vld_tui.home import Home
from vld_tui.launch.local import stop, wait_and_record
from vld_tui.runs.run import Run
from vld_tui.store import ingest
from vld_tui.store.store import Store


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that lives until the test is over, unless it is killed before."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def _now(store: Store, run: Run) -> Run:
    store.live.refresh()
    (seen,) = store.runs.find()
    assert seen.run_id == run.run_id
    return seen


def _write_process(run_dir: RunDir, process: ProcessInfo) -> None:
    write_atomic(run_dir.process, msgspec.json.encode(process))


def test_a_run_waits_for_its_process_for_a_while(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _now(store, run).status == "starting"
    monkeypatch.setattr(ingest, "LAUNCH_GRACE_S", 0.0)
    seen = _now(store, run)
    assert (seen.status, seen.error) == ("crashed", "no process started the run")


def test_a_run_that_speaks_is_not_dead_for_want_of_a_record_of_its_process(
    store: Store, run: Run, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LAUNCH_GRACE_S", 0.0)
    teller.says(started())
    assert _now(store, run).status == "running"


def test_a_starting_run_shows_the_process_it_was_given(
    store: Store, run: Run, teller: Teller, sleeper: subprocess.Popen[bytes]
) -> None:
    teller.run_dir.write_process(sleeper.pid)
    seen = _now(store, run)
    assert (seen.status, seen.pid) == ("starting", sleeper.pid)


def test_a_process_that_died_before_it_began_shows_the_end_of_its_log(
    store: Store, run: Run, teller: Teller
) -> None:
    lines = [f"line {number}" for number in range(20)]
    teller.run_dir.log.write_text("\n".join(lines) + "\nModuleNotFoundError: torch\n\n")
    dead_process(teller.run_dir, exit_code=1)
    teller.run_dir.write_exit(ExitInfo(exit_code=1, ended_at=time.time()))
    seen = _now(store, run)
    assert (seen.status, seen.exit_code) == ("crashed", 1)
    assert seen.error == (
        "process ended with exit code 1\n"
        "line 16\nline 17\nline 18\nline 19\nModuleNotFoundError: torch"
    )


def test_a_log_of_megabytes_without_lines_is_no_trouble(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.run_dir.log.write_bytes(b"\xff" * 3_000_000)
    dead_process(teller.run_dir, exit_code=1)
    seen = _now(store, run)
    assert seen.error is not None
    assert len(seen.error) < 5000


@pytest.mark.parametrize(
    ("number", "oom_kills", "cause"),
    [
        (
            signal.SIGKILL,
            [None, None],
            "killed (signal 9), probably out of memory, or by a user",
        ),
        (
            signal.SIGKILL,
            [3, 3],
            "killed (signal 9) by a user or a program (the kernel reports no out-of-memory kill)",
        ),
        (
            signal.SIGKILL,
            [3, 4],
            "killed: out of memory (cgroup or job limit reached)",
        ),
        (
            signal.SIGBUS,
            [3, 3],
            "killed by SIGBUS (signal 7): a file in use was truncated or its disk failed, most "
            "likely the image cache; resuming rebuilds it",
        ),
        (signal.SIGSEGV, [None, None], "killed by SIGSEGV (signal 11)"),
    ],
)
def test_a_killed_run_is_crashed_with_its_signal(
    store: Store,
    run: Run,
    teller: Teller,
    sleeper: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    oom_kills: list[int | None],
    cause: str,
) -> None:
    monkeypatch.setattr("vld_tui.launch.local.killed_for_memory", iter(oom_kills).__next__)
    teller.run_dir.write_process(sleeper.pid)
    teller.says(started(), steps_taken(7, 1.0))
    assert _now(store, run).status == "running"
    sleeper.send_signal(number)
    assert wait_and_record(sleeper, teller.run_dir) == -number
    seen = _now(store, run)
    assert (seen.status, seen.error, seen.exit_code) == ("crashed", cause, -number)
    assert (seen.step, seen.seconds_left) == (7, None)
    (attempt,) = store.series.timeline(run.run_id)
    assert (attempt.outcome, attempt.reason, attempt.step) == ("crashed", cause, 7)
    assert attempt.ended_at is not None
    assert attempt.ended_at >= attempt.started_at


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_a_run_that_was_killed_on_purpose_is_stopped_by_whom(
    store: Store,
    run: Run,
    teller: Teller,
    sleeper: subprocess.Popen[bytes],
    is_waited_for: bool,
) -> None:
    run_dir = teller.run_dir
    run_dir.write_process(sleeper.pid)
    teller.says(started(), steps_taken(7, 1.0))
    assert _now(store, run).status == "running"
    assert stop(run_dir, kill=True, by="the dashboard")
    if is_waited_for:
        wait_and_record(sleeper, run_dir)
    sleeper.wait()
    expected = ("stopped", "killed by the dashboard")
    seen = _now(store, run)
    assert (seen.status, seen.error, seen.step) == (*expected, 7)
    store.folders.rebuild()
    seen = _now(store, run)
    assert (seen.status, seen.error) == expected
    (attempt,) = store.series.timeline(run.run_id)
    assert (attempt.outcome, attempt.reason) == expected


def test_a_crash_after_a_kill_is_a_crash(
    store: Store, run: Run, teller: Teller, sleeper: subprocess.Popen[bytes]
) -> None:
    teller.run_dir.write_process(sleeper.pid)
    teller.run_dir.record_kill("vld stop --kill")
    dead_process(teller.run_dir, exit_code=1)  # the next attempt
    teller.says(started())
    assert _now(store, run).status == "crashed"


def test_a_process_that_ended_by_itself_was_not_killed(
    store: Store, run: Run, teller: Teller
) -> None:
    dead_process(teller.run_dir, exit_code=1)
    teller.run_dir.record_kill("vld stop --kill")
    teller.run_dir.write_exit(ExitInfo(exit_code=1, ended_at=time.time()))
    teller.says(started())
    seen = _now(store, run)
    assert (seen.status, seen.exit_code) == ("crashed", 1)


def test_a_death_nobody_waited_for_is_noticed_and_explained_later(
    store: Store, run: Run, teller: Teller, sleeper: subprocess.Popen[bytes]
) -> None:
    teller.run_dir.write_process(sleeper.pid)
    teller.says(started())
    sleeper.kill()
    sleeper.wait()
    seen = _now(store, run)
    assert (seen.status, seen.exit_code) == ("crashed", None)
    assert seen.error == "process disappeared (killed, disk failure, or machine restart)"
    teller.run_dir.write_exit(ExitInfo(exit_code=-9, ended_at=time.time()))
    seen = store.runs.get(run.run_id)
    assert (seen.exit_code, seen.error and seen.error[:17]) == (-9, "killed (signal 9)")


def test_another_process_with_the_same_pid_is_not_the_run_s(
    store: Store, run: Run, teller: Teller
) -> None:
    mine = ProcessInfo.of(os.getpid())
    reused = (
        msgspec.structs.replace(mine, birth="another 1"),
        msgspec.structs.replace(mine, birth=None, started_at=mine.started_at - 500),
    )
    for process in reused:
        _write_process(teller.run_dir, process)
        teller.says(started())
        assert _now(store, run).status == "crashed"


def test_a_clock_that_is_set_kills_nobody(store: Store, run: Run, teller: Teller) -> None:
    mine = ProcessInfo.of(os.getpid())
    assert mine.birth, "no /proc here"
    for hours in (-3, 3):
        jumped = msgspec.structs.replace(mine, started_at=mine.started_at + hours * 3600)
        _write_process(teller.run_dir, jumped)
        teller.says(started())
        assert _now(store, run).status == "running"
    teller.run_dir.write_exit(ExitInfo(exit_code=-9, ended_at=time.time() - 7200, pid=mine.pid))
    _write_process(teller.run_dir, msgspec.structs.replace(jumped, birth="another 1"))
    seen = _now(store, run)
    assert (seen.status, seen.exit_code) == ("crashed", -9)


def test_how_an_attempt_ended_is_kept_with_the_run(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    dead_process(teller.run_dir, exit_code=-9)
    teller.says(started(), steps_taken(5, 1.0))
    assert _now(store, run).status == "crashed"
    end = AttemptEnd(ended_at=time.time() - 5, exit_code=-9, cause="killed (signal 9)")
    teller.run_dir.write_process(os.getpid())
    teller.says(msgspec.structs.replace(started(attempt=2), previous_end=end))
    store.folders.rebuild()
    first, second = store.series.timeline(run.run_id)
    assert (first.outcome, first.reason, first.ended_at) == ("crashed", end.cause, end.ended_at)
    assert second.outcome is None


def test_a_process_from_before_the_machine_started_went_with_it(
    store: Store, run: Run, teller: Teller
) -> None:
    mine = ProcessInfo.of(os.getpid())
    before = psutil.boot_time() - 100
    _write_process(teller.run_dir, msgspec.structs.replace(mine, birth="b 1", started_at=before))
    teller.says(started())
    assert _now(store, run).error == "the machine restarted"


def test_an_old_exit_code_does_not_explain_a_new_death(
    store: Store, run: Run, teller: Teller
) -> None:
    teller.run_dir.write_exit(ExitInfo(exit_code=-9, ended_at=time.time() - 100))
    dead_process(teller.run_dir, exit_code=1)
    seen = _now(store, run)
    assert (seen.status, seen.exit_code) == ("crashed", None)


def test_on_another_host_the_heartbeat_counts(store: Store, run: Run, teller: Teller) -> None:
    long_ago = time.time() - 1000
    _write_process(teller.run_dir, ProcessInfo(pid=1, started_at=long_ago, host="elsewhere"))
    teller.says(started())
    teller.run_dir.heartbeat.touch()
    assert _now(store, run).status == "running"
    _age(teller.run_dir, long_ago)
    seen = _now(store, run)
    assert (seen.status, seen.error) == ("crashed", "no sign of life from elsewhere for 60 s")
    teller.run_dir.heartbeat.touch()
    teller.says(steps_taken(5, 1.0))
    back = store.runs.get(run.run_id)
    assert (back.status, back.error, back.step) == ("running", None, 5)
    (attempt,) = store.series.timeline(run.run_id)
    assert attempt.outcome is None


def _age(run_dir: RunDir, at: float) -> None:
    """Make the signs of life as old as that, in Unix seconds."""
    for path in (run_dir.heartbeat, run_dir.events):
        os.utime(path, (at, at))


def test_on_another_host_the_end_of_an_earlier_process_with_the_same_pid_is_no_death(
    store: Store, run: Run, teller: Teller
) -> None:
    long_ago = time.time() - 1000
    node = ProcessInfo(pid=7, started_at=long_ago, host="elsewhere", birth="boot 2")
    teller.says(started())
    teller.run_dir.write_exit(ExitInfo(-9, time.time(), pid=7, birth="boot 1"))
    _write_process(teller.run_dir, node)
    teller.run_dir.heartbeat.touch()
    assert _now(store, run).status == "running"
    teller.run_dir.write_exit(ExitInfo(-11, time.time(), pid=7, birth="boot 2"))
    seen = _now(store, run)
    assert (seen.status, seen.exit_code) == ("crashed", -11)


def test_on_another_host_events_are_signs_of_life_too(
    store: Store, run: Run, teller: Teller
) -> None:
    long_ago = time.time() - 1000
    _write_process(teller.run_dir, ProcessInfo(pid=1, started_at=long_ago, host="elsewhere"))
    teller.says(started())
    teller.run_dir.heartbeat.touch()
    os.utime(teller.run_dir.heartbeat, (long_ago, long_ago))  # such as a disk too full for it
    teller.says(steps_taken(5, 1.0))
    assert _now(store, run).status == "running"


def test_a_suspended_process_is_not_dead_and_goes_on(
    store: Store, run: Run, teller: Teller, sleeper: subprocess.Popen[bytes]
) -> None:
    teller.run_dir.write_process(sleeper.pid)
    teller.says(started(), steps_taken(5, 1.0))
    teller.run_dir.heartbeat.touch()
    sleeper.send_signal(signal.SIGSTOP)
    _age(teller.run_dir, time.time() - 10 * HEARTBEAT_STALE_S)
    wait_until(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_STOPPED, 10)
    assert _now(store, run).status == "running"
    assert store.runs.get(run.run_id).status == "running"
    sleeper.send_signal(signal.SIGCONT)
    teller.says(steps_taken(6, 1.0))
    seen = _now(store, run)
    assert (seen.status, seen.step, seen.error) == ("running", 6, None)


def test_a_list_finds_a_run_that_came_back_on_another_host(
    store: Store, run: Run, teller: Teller
) -> None:
    long_ago = time.time() - 1000
    _write_process(teller.run_dir, ProcessInfo(pid=1, started_at=long_ago, host="elsewhere"))
    teller.says(started())
    teller.run_dir.heartbeat.touch()
    _age(teller.run_dir, long_ago)
    assert _now(store, run).status == "crashed"
    teller.says(steps_taken(5, 1.0))
    seen = _now(store, run)
    assert (seen.status, seen.step) == ("running", 5)


def test_the_last_word_counts_even_when_the_process_is_gone(
    store: Store, run: Run, teller: Teller
) -> None:
    dead_process(teller.run_dir, exit_code=0)
    teller.says(started(), stopped(5))
    assert _now(store, run).status == "stopped"


def test_a_running_run_whose_folder_is_gone_is_crashed(
    store: Store, run: Run, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller.says(started())
    teller.run_dir.write_process(os.getpid())
    assert _now(store, run).status == "running"
    monkeypatch.setattr(ingest, "HEARTBEAT_STALE_S", 0.0)
    for path in teller.run_dir.path.iterdir():
        path.unlink()
    teller.run_dir.path.rmdir()
    assert _now(store, run).status == "crashed"


def _crash(store: Store, teller: Teller) -> Run:
    dead_process(teller.run_dir, exit_code=1)
    teller.says(started(), steps_taken(5, 1.0))
    store.live.refresh()
    (seen,) = store.runs.find()
    assert seen.status == "crashed"
    return seen


def test_a_relaunched_run_is_starting_until_its_new_process_speaks(
    store: Store, run: Run, teller: Teller, sleeper: subprocess.Popen[bytes]
) -> None:
    _crash(store, teller)
    seen = store.live.mark_relaunched(run.run_id)
    assert (seen.status, seen.error, seen.exit_code) == ("starting", None, None)
    assert _now(store, run).status == "starting"  # the dead process is the one before
    teller.run_dir.write_process(sleeper.pid)
    seen = _now(store, run)
    assert (seen.status, seen.pid) == ("starting", sleeper.pid)
    teller.says(started(attempt=2, resumed_step=5))
    seen = _now(store, run)
    assert (seen.status, seen.attempts, seen.step) == ("running", 2, 5)
    sleeper.kill()
    wait_and_record(sleeper, teller.run_dir)
    assert _now(store, run).status == "crashed"
    assert [attempt.outcome for attempt in store.series.timeline(run.run_id)] == [
        "crashed",
        "crashed",
    ]


def test_marking_after_the_launch_works_as_well(
    store: Store, run: Run, teller: Teller, sleeper: subprocess.Popen[bytes]
) -> None:
    _crash(store, teller)
    teller.run_dir.write_process(sleeper.pid)
    assert store.live.mark_relaunched(run.run_id).status == "starting"
    sleeper.kill()
    wait_and_record(sleeper, teller.run_dir)
    seen = _now(store, run)
    assert (seen.status, seen.exit_code) == ("crashed", -9)


def test_marking_a_run_that_spoke_already_takes_its_word(
    store: Store, run: Run, teller: Teller, sleeper: subprocess.Popen[bytes]
) -> None:
    _crash(store, teller)
    teller.run_dir.write_process(sleeper.pid)
    teller.says(started(attempt=2, resumed_step=5), steps_taken(6, 1.0))
    seen = store.live.mark_relaunched(run.run_id)
    assert (seen.status, seen.step) == ("running", 6)


def test_a_death_found_while_another_program_relaunches_is_the_old_one(
    store: Store, run: Run, teller: Teller, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead_process(teller.run_dir, exit_code=1)
    teller.says(started(), steps_taken(5, 1.0))
    asked = []

    def is_alive(_run_dir: RunDir, _process: ProcessInfo) -> bool:
        asked.append(True)
        if len(asked) == 1:
            with Store.open(home) as other:
                other.live.refresh()
                assert other.runs.find()[0].status == "crashed"
                other.live.mark_relaunched(run.run_id)
        return False

    monkeypatch.setattr(ingest, "is_alive", is_alive)
    store.live.refresh()
    assert store.runs.find()[0].status == "starting"


def test_a_relaunch_that_never_comes_ends_as_a_crash(
    store: Store, run: Run, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    _crash(store, teller)
    store.live.mark_relaunched(run.run_id)
    monkeypatch.setattr(ingest, "LAUNCH_GRACE_S", 0.0)
    seen = _now(store, run)
    assert (seen.status, seen.error) == ("crashed", "no process started the run")


def test_a_refresh_without_live_runs_writes_nothing(
    store: Store, run: Run, teller: Teller, home: Home
) -> None:
    teller.finishes()
    store.live.refresh()
    before = home.database.with_name("vld.db-wal").stat()
    store.runs.create(resolve_spec({}))
    store.live.refresh()
    grown = home.database.with_name("vld.db-wal").stat()
    store.live.refresh()
    store.live.refresh()
    after = home.database.with_name("vld.db-wal").stat()
    assert before.st_mtime_ns < grown.st_mtime_ns == after.st_mtime_ns


@pytest.mark.parametrize("ahead_s", [-3600.0, 61.0, 3600.0])
def test_a_viewer_whose_clock_is_wrong_judges_a_run_elsewhere_by_the_clock_of_its_disk(
    teller: Teller, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    real = time.time
    process = ProcessInfo(1, real() - 120, "elsewhere")
    _write_process(teller.run_dir, process)
    teller.run_dir.heartbeat.touch()
    monkeypatch.setattr(time, "time", lambda: real() + ahead_s)
    assert is_alive(teller.run_dir, process)
    os.utime(teller.run_dir.heartbeat, (real() - 61, real() - 61))
    assert not is_alive(teller.run_dir, process)
