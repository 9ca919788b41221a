"""Start or resume the run in RUN_DIR.

Exit codes: 0 finished, 1 failed, 2 invalid input (nothing ran), 3 the run is already running,
130 stopped (can be resumed).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.failures import describe_failure, describe_os_error
from engine.machine.processor import keep_freed_memory, let_waiting_threads_sleep
from engine.protocol import AttemptEnd, RunFailed, RunFinished, RunStopped
from engine.rundir import LinkError, ProcessInfo, RunDir, touch_plain
from engine.rundir.event_log import EventLog
from engine.rundir.life import HEARTBEAT_INTERVAL_S, end_of, every, last_sign_of_life
from engine.rundir.lock import held, wait_until_free
from engine.stop_request import StopRequest, StopRequested
from engine.text import log_lines

EXIT_FINISHED, EXIT_FAILED, EXIT_REFUSED, EXIT_HELD, EXIT_STOPPED = 0, 1, 2, 3, 130


def main(arguments: list[str] | None = None) -> int:
    """Start or resume a run and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    parser.add_argument(
        "run_dir", metavar="RUN_DIR", type=Path, help="run folder that contains spec.json"
    )
    parser.add_argument("--gpus", type=int, help="GPUs to resume on (default: as in the spec)")
    given = parser.parse_args(arguments)
    run_dir = RunDir(given.run_dir.resolve())
    if not run_dir.spec.is_file():
        print(f"{run_dir.path} is not a run folder: spec.json is missing.", file=sys.stderr)  # noqa: T201
        return EXIT_REFUSED
    let_waiting_threads_sleep()
    keep_freed_memory()
    stop = StopRequest()
    stop.install()
    try:
        return _run_locked(run_dir, stop, given.gpus)
    except OSError as error:  # events cannot be recorded; only the log and exit code remain
        _log_error(log_lines(describe_os_error(error, run_dir)))
        return EXIT_FAILED


def _run_locked(run_dir: RunDir, stop: StopRequest, gpus: int | None) -> int:
    with _locked(run_dir) as is_locked:
        if not is_locked:
            holder = run_dir.read_process()
            _log_error(
                f"Run {run_dir.run_id} is already running"
                + (f" as process {holder.pid} on {holder.host}." if holder else ".")
            )
            return EXIT_HELD
        last_sign = last_sign_of_life(run_dir) or 0.0  # before this process writes any
        log = EventLog(run_dir.events)
        previous_end = _end_of_previous(run_dir, log, last_sign)
        run_dir.write_process(os.getpid())
        with _heartbeat(run_dir, stop):
            return _run_and_report(run_dir, log, previous_end, stop, gpus)


def _end_of_previous(run_dir: RunDir, log: EventLog, last_sign: float) -> AttemptEnd | None:
    """Return how the previous attempt ended, or None if it recorded a terminal event."""
    started = log.unended
    if started is None:
        return None
    before = ProcessInfo(started.pid, started.time, started.host, started.birth)
    return end_of(run_dir, before, max(last_sign, log.last_time))


def _run_and_report(
    run_dir: RunDir,
    log: EventLog,
    previous_end: AttemptEnd | None,
    stop: StopRequest,
    gpus: int | None,
) -> int:
    log.reserve_space()
    has_begun = log.attempts > 0 or run_dir.last_checkpoint.exists()
    outcome: RunFinished | RunStopped | RunFailed
    try:
        run_dir.delete_incomplete_files()
        from engine.run import run  # torch takes seconds to load; the heartbeat already runs

        outcome = run(run_dir, log, stop, previous_end, gpus)
    except StopRequested:
        outcome = RunStopped(step=0, reason=stop.reason, wall_s=0.0)
    except Exception as error:  # noqa: BLE001 - process edge: always reported
        outcome = describe_failure(error, run_dir)
    has_begun = has_begun or run_dir.last_checkpoint.exists()
    if isinstance(outcome, RunFailed):
        outcome = msgspec.structs.replace(outcome, refused=outcome.refused and not has_begun)
        _log_error(log_lines(outcome.message, outcome.traceback))
    log.record_last(outcome)
    log.close()
    delete_spare_checkpoints(run_dir, outcome)
    if isinstance(outcome, RunFailed):
        return EXIT_REFUSED if outcome.refused else EXIT_FAILED
    return EXIT_STOPPED if isinstance(outcome, RunStopped) else EXIT_FINISHED


def delete_spare_checkpoints(
    run_dir: RunDir, outcome: RunFinished | RunStopped | RunFailed
) -> None:
    """Delete the checkpoints that a finished run does not keep."""
    if not isinstance(outcome, RunFinished):
        return
    try:
        for path in run_dir.spare_checkpoints(run_dir.read_spec().keep_checkpoints):
            path.unlink(missing_ok=True)
    except OSError as error:
        _log_error(log_lines(f"Could not delete checkpoints: {error}"))


def _log_error(message: str) -> None:
    with contextlib.suppress(OSError):  # the log may be on the full disk too
        print(message, file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def _locked(run_dir: RunDir) -> Iterator[bool]:
    """Hold the run's lock during the block; yield False if another process holds it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(run_dir.lock, patience_s=0))
        except BlockingIOError:
            yield False
            return
        wait_until_free(run_dir.writer_lock)
        yield True


@contextlib.contextmanager
def _heartbeat(run_dir: RunDir, stop: StopRequest) -> Iterator[None]:
    """Touch the heartbeat file and check for stop requests during the block."""

    def beat() -> None:
        with contextlib.suppress(OSError):  # a missed beat must not fail the run
            touch_plain(run_dir.heartbeat)
        asked = run_dir.read_stop()
        if asked is not None:
            stop.ask(asked.reason)

    if run_dir.heartbeat.is_symlink():
        raise LinkError(run_dir.heartbeat, "a symbolic link")
    beat()
    with every(HEARTBEAT_INTERVAL_S, beat, "heartbeat"):
        yield


if __name__ == "__main__":
    exit_code = main()
    gc.freeze()  # otherwise the interpreter's last collections take a second for torch's objects
    sys.exit(exit_code)
