"""``python -m engine RUN_DIR``: one run, one process.

Exit codes: 0 finished, 1 failed, 2 refused (nothing ran), 3 another process holds the run,
130 stopped (it can be resumed).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

from engine.allocator import keep_freed_memory
from engine.discretion import without_secrets
from engine.errors import InputError, TrainingError
from engine.eventlog import EventLog
from engine.protocol import RunFailed, RunFinished, RunStopped, SpecError
from engine.rundir import HEARTBEAT_INTERVAL_S, RunDir
from engine.stop import StopRequest, StopRequested

EXIT_FINISHED, EXIT_FAILED, EXIT_REFUSED, EXIT_HELD, EXIT_STOPPED = 0, 1, 2, 3, 130


def main(arguments: list[str] | None = None) -> int:
    """Take a run up and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="run folder holding a spec.json")
    run_dir = RunDir(parser.parse_args(arguments).run_dir.resolve())
    if not run_dir.spec.is_file():
        print(f"{run_dir.path} is not a run folder: it has no spec.json.", file=sys.stderr)  # noqa: T201
        return EXIT_REFUSED
    # A thread that waits must sleep, not spin: beside any other busy process, spinning threads
    # made a step six times slower (docs/recipe.md). Read once, when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    stop = StopRequest()
    stop.install()
    with _held(run_dir) as is_ours:
        if not is_ours:
            holder = run_dir.read_process()
            print(  # noqa: T201
                f"Run {run_dir.run_id} is already running"
                + (f" as process {holder.pid} on {holder.host}." if holder else "."),
                file=sys.stderr,
            )
            return EXIT_HELD
        run_dir.write_process(os.getpid())
        with _heartbeat(run_dir):
            return _run_to_its_end(run_dir, stop)


def _run_to_its_end(run_dir: RunDir, stop: StopRequest) -> int:
    log = EventLog(run_dir.events)
    first_attempt = log.attempts == 0
    outcome: RunFinished | RunStopped | RunFailed
    try:
        from engine.run import run  # noqa: PLC0415 - torch takes seconds; we are already alive

        outcome = run(run_dir, log, stop)
    except StopRequested:
        outcome = RunStopped(step=0, reason=stop.reason, wall_s=0.0)
    except (InputError, SpecError) as error:
        has_begun = not first_attempt or run_dir.last_checkpoint.exists()
        outcome = _failed(error, str(error), refused=not has_begun)
    except TrainingError as error:
        outcome = _failed(error, str(error))
    except OSError as error:
        outcome = _failed(error, f"A file could not be read or written: {error}")
    except Exception as error:  # noqa: BLE001 - the edge of the process: always reported
        outcome = _failed(error, str(error) or type(error).__name__)
    log.record(outcome)
    log.close()
    tidy(run_dir, outcome)
    if isinstance(outcome, RunFailed):
        print(outcome.traceback or outcome.message, file=sys.stderr)  # noqa: T201
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
        print(f"Checkpoints could not be deleted: {error}", file=sys.stderr)  # noqa: T201


def _failed(error: Exception, message: str, *, refused: bool = False) -> RunFailed:
    return RunFailed(
        error=type(error).__name__,
        message=without_secrets(message),
        traceback="" if refused else without_secrets(traceback.format_exc()),
        step=None,
        refused=refused,
    )


@contextlib.contextmanager
def _held(run_dir: RunDir) -> Iterator[bool]:
    """Hold the run's lock for as long as this process lives; yield False if another does."""
    with run_dir.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextlib.contextmanager
def _heartbeat(run_dir: RunDir) -> Iterator[None]:
    """Touch the heartbeat file from a thread until the block ends."""
    ended = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):  # a missed beat is not worth a run
                run_dir.heartbeat.touch()
            if ended.wait(HEARTBEAT_INTERVAL_S):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
