"""``python -m engine RUN_DIR``: one run, one process.

Exit codes: 0 finished, 1 failed, 2 refused (nothing ran), 3 another process holds the run,
130 stopped (it can be resumed).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.failures import describe_failure, in_words
from engine.machine.allocator import keep_freed_memory
from engine.protocol import AttemptEnd, RunFailed, RunFinished, RunStopped
from engine.rundir import LinkError, ProcessInfo, RunDir, touch_plain
from engine.rundir.clock import every
from engine.rundir.event_log import EventLog
from engine.rundir.life import HEARTBEAT_INTERVAL_S, end_of, last_sign_of_life
from engine.rundir.lock import held, wait_until_free
from engine.stop_request import StopRequest, StopRequested
from engine.text import log_lines

EXIT_FINISHED, EXIT_FAILED, EXIT_REFUSED, EXIT_HELD, EXIT_STOPPED = 0, 1, 2, 3, 130


def main(arguments: list[str] | None = None) -> int:
    """Take a run up and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="run folder holding a spec.json")
    parser.add_argument("--gpus", type=int, help="to go on on; as the run was made for by default")
    given = parser.parse_args(arguments)
    run_dir = RunDir(given.run_dir.resolve())
    if not run_dir.spec.is_file():
        print(f"{run_dir.path} is not a run folder: it has no spec.json.", file=sys.stderr)  # noqa: T201
        return EXIT_REFUSED
    # A thread that waits must sleep, not spin: beside any other busy process, spinning threads
    # made a step six times slower (docs/recipe.md). Read once, when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    stop = StopRequest()
    stop.install()
    try:
        return _take_up(run_dir, stop, given.gpus)
    except OSError as error:  # no event can be recorded: log and exit code are left to tell
        _complain(log_lines(in_words(error, run_dir)))
        return EXIT_FAILED


def _take_up(run_dir: RunDir, stop: StopRequest, gpus: int | None) -> int:
    with _held(run_dir) as is_ours:
        if not is_ours:
            holder = run_dir.read_process()
            _complain(
                f"Run {run_dir.run_id} is already running"
                + (f" as process {holder.pid} on {holder.host}." if holder else ".")
            )
            return EXIT_HELD
        last_sign = last_sign_of_life(run_dir) or 0.0  # before this process shows any
        log = EventLog(run_dir.events)
        previous_end = _end_of_previous(run_dir, log, last_sign)
        run_dir.write_process(os.getpid())
        with _heartbeat(run_dir, stop):
            return _run_to_its_end(run_dir, log, previous_end, stop, gpus)


def _end_of_previous(run_dir: RunDir, log: EventLog, last_sign: float) -> AttemptEnd | None:
    """Return how the attempt before ended, unless it said so itself."""
    if log.unended is None:
        return None
    told = log.unended
    before = ProcessInfo(told.pid, told.time, told.host, told.birth)
    return end_of(run_dir, before, max(last_sign, log.last_time))


def _run_to_its_end(
    run_dir: RunDir,
    log: EventLog,
    previous_end: AttemptEnd | None,
    stop: StopRequest,
    gpus: int | None,
) -> int:
    log.keep_room()
    has_begun = log.attempts > 0 or run_dir.last_checkpoint.exists()
    outcome: RunFinished | RunStopped | RunFailed
    try:
        run_dir.drop_torn_files()
        from engine.run import run  # torch takes seconds; we are already alive

        outcome = run(run_dir, log, stop, previous_end, gpus)
    except StopRequested:
        outcome = RunStopped(step=0, reason=stop.reason, wall_s=0.0)
    except Exception as error:  # noqa: BLE001 - the edge of the process: always reported
        outcome = describe_failure(error, run_dir)
    has_begun = has_begun or run_dir.last_checkpoint.exists()
    if isinstance(outcome, RunFailed):
        outcome = msgspec.structs.replace(outcome, refused=outcome.refused and not has_begun)
        _complain(log_lines(outcome.message, outcome.traceback))
    log.record_last(outcome)
    log.close()
    tidy(run_dir, outcome)
    if isinstance(outcome, RunFailed):
        return EXIT_REFUSED if outcome.refused else EXIT_FAILED
    return EXIT_STOPPED if isinstance(outcome, RunStopped) else EXIT_FINISHED


def tidy(run_dir: RunDir, outcome: RunFinished | RunStopped | RunFailed) -> None:
    """Leave the checkpoints that were asked for, once it is told that the run is done."""
    if not isinstance(outcome, RunFinished):
        return
    try:
        for path in run_dir.spare_checkpoints(run_dir.read_spec().keep_checkpoints):
            path.unlink(missing_ok=True)
    except OSError as error:
        _complain(log_lines(f"Checkpoints could not be deleted: {error}"))


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):  # the log is on a full disk as well
        print(message, file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def _held(run_dir: RunDir) -> Iterator[bool]:
    """Hold the run's lock for as long as this process lives; yield False if another does."""
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
    """Touch the heartbeat file and look for a request to stop, until the block ends."""

    def beat() -> None:
        with contextlib.suppress(OSError):  # a missed beat is not worth a run
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
    sys.exit(main())
