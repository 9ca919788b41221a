"""Start a run's process, follow it to its end, and report the result."""

from __future__ import annotations

import contextlib
import math
import signal
import subprocess
import time
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, Final

import msgspec
import typer

from engine.protocol import RunFailed
from engine.rundir import RunDir
from vld_tui.cli.errors import FAILED_EXIT, INTERRUPTED_EXIT, CommandError
from vld_tui.cli.output import NextCommands, print_json, say, suggest, with_home
from vld_tui.cli.queue import tell_queued
from vld_tui.cli.reporters import Reporter, make_reporter
from vld_tui.control.queue import start_queued
from vld_tui.control.records import run_records
from vld_tui.control.start import begin, resume_here
from vld_tui.launch.local import stop, wait_and_record
from vld_tui.runs.progress import Progress
from vld_tui.runs.run import Run
from vld_tui.runs.run_folder import EventFollower
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.views.accuracies import interval_record

DetachOption = Annotated[
    bool, typer.Option("--detach", help="Start the run, print its id and return.")
]

POLL_INTERVAL_S: Final = 0.1
INGEST_INTERVAL_S: Final = 3.0
ONE_SIGNAL_S: Final = 0.3
DETACH_GRACE_S: Final = 0.5
"""A process that cannot start at all dies within this time."""
ENGINE_IS_HELD: Final = 3
"""The engine's exit code when another process already runs the run."""


class StopRequests:
    """Counts the requests to stop, by Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self.count = 0
        self._counted_at = -math.inf
        self._last = signal.SIGINT

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Count a signal; signals at almost the same moment (a wrapper that forwards them) count
        once."""
        now = time.monotonic()
        if now - self._counted_at < ONE_SIGNAL_S:
            return
        self.count += 1
        self._counted_at, self._last = now, signal.Signals(number)

    @property
    def named(self) -> str:
        """Return the name of what killed the run."""
        return "Ctrl-C twice" if self._last == signal.SIGINT else f"a second {self._last.name}"


def start_new(
    store: Store, run: Run, *, queue: bool, detach: bool, as_json: bool, following: NextCommands
) -> None:
    """Follow a new run to its end; with ``detach`` only start it, with ``queue`` have it started.

    Raises:
        CommandError, LaunchError, typer.Exit: see :func:`run_and_follow`.
    """
    if queue:
        tell_queued(store, start_queued(store, [run.run_id]), as_json=as_json)
    elif detach:
        start_and_leave(store, run, resumes=False, as_json=as_json)
    else:
        run_and_follow(store, run, resumes=False, as_json=as_json, following=following)


def run_and_follow(
    store: Store, run: Run, *, resumes: bool, as_json: bool, following: NextCommands,
    gpus: int | None = None,
) -> None:  # fmt: skip
    """Start the engine on a run and follow it until it ends.

    Ctrl-C or SIGTERM asks the engine to save and stop; a second one kills it. The engine
    has its own session: if this process dies, the run continues.

    Raises:
        CommandError: when the run could not start, failed or crashed.
        LaunchError: when its process cannot be started.
        typer.Exit: with 130 when the run was stopped.
    """
    run_dir = store.runs.run_dir(run.run_id)
    follower = EventFollower(run_dir)
    earlier = Progress.told_by(follower.poll())
    progress = msgspec.structs.replace(earlier, model=None)  # this attempt may prepare another
    reporter = make_reporter(_on_gpus(run, gpus), stdout_is_taken=as_json)
    with listening() as requests:
        process = _begin(store, run, resumes=resumes, gpus=gpus)
        with reporter:
            progress = _follow(store, run_dir, process, follower, reporter, requests, progress)
        exit_code = wait_and_record(process, run_dir)
        _refuse(store, run, progress, exit_code, resumes=resumes)
        store.live.refresh()
        run = store.runs.get(run.run_id)
        is_killed = requests.count > 1 and run_dir.read_kill() is not None
        status = "killed" if is_killed and run.status in ("crashed", "stopped") else run.status
        reporter.conclude(progress, status, following if status == "finished" else ())
        if as_json:
            (record,) = run_records(store, [run])
            print_json(record | interval_record(progress, progress.selected))
    _leave(run, run_dir, interrupted=requests.count > 0)


def _on_gpus(run: Run, gpus: int | None) -> Run:
    """Return the run, resumed on this many GPUs; None: on as many as before."""
    if gpus is None:
        return run
    return msgspec.structs.replace(run, spec=msgspec.structs.replace(run.spec, gpus=gpus, nodes=1))


def start_and_leave(
    store: Store, run: Run, *, resumes: bool, as_json: bool, gpus: int | None = None
) -> None:
    """Start the engine on a run, print how to watch it, and return.

    Raises:
        CommandError: when it died immediately.
        LaunchError: when its process cannot be started.
    """
    run_dir = store.runs.run_dir(run.run_id)
    process = _begin(store, run, resumes=resumes, gpus=gpus)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(DETACH_GRACE_S)
        wait_and_record(process, run_dir)
    run = store.runs.get(run.run_id)
    if as_json:
        print_json(run_records(store, [run])[0] | {"pid": process.pid})
    else:
        say(f"run {run.run_id}  {run.label} · process {process.pid}")
        suggest(
            [
                (f"vld logs -f {run.run_id}", "follow its log"),
                (f"vld curve {run.run_id}", "plot its accuracies"),
                (f"vld stop {run.run_id}", "save and stop it; vld resume continues it"),
            ]
        )
    if run.status in ("failed", "crashed"):
        _leave(run, run_dir, interrupted=False)


def _begin(store: Store, run: Run, *, resumes: bool, gpus: int | None) -> subprocess.Popen[bytes]:
    return resume_here(store, run.run_id, gpus=gpus) if resumes else begin(store, run)


def _follow(
    store: Store,
    run_dir: RunDir,
    process: subprocess.Popen[bytes],
    follower: EventFollower,
    reporter: Reporter,
    requests: StopRequests,
    progress: Progress,
) -> Progress:
    """Show events until the process has ended, and return the last snapshot."""
    honoured = 0
    ingested_at = time.monotonic()
    while True:
        has_ended = process.poll() is not None  # checked before reading: no events follow
        events = follower.poll()
        for event in events:
            progress = progress.after(event)
        reporter.show(progress, events)
        if has_ended:
            return progress
        if requests.count > honoured:
            honoured += 1
            stop(run_dir, kill=honoured > 1, by=requests.named)
            reporter.notice(_stopping(progress, is_again=honoured > 1))
        if time.monotonic() - ingested_at > INGEST_INTERVAL_S:
            with contextlib.suppress(StoreError):  # another program is writing: retry later
                store.live.refresh()
            ingested_at = time.monotonic()
        time.sleep(POLL_INTERVAL_S)


def _stopping(progress: Progress, *, is_again: bool) -> str:
    if is_again:
        return "killing the run"
    what = "after preparation" if progress.model is None else "after this step"
    return f"stopping {what}; press Ctrl-C again to kill"


def _refuse(store: Store, run: Run, progress: Progress, exit_code: int, *, resumes: bool) -> None:
    """Raise when another process has the run; remove a new run."""
    if isinstance(progress.end, RunFailed) and progress.end.refused and not resumes:
        store.trash.discard(run.run_id)
        raise CommandError(progress.end.message)
    if exit_code == ENGINE_IS_HELD:
        raise CommandError(f"Run {run.run_id} is already in use by another process.")


def _leave(run: Run, run_dir: RunDir, *, interrupted: bool) -> None:
    """Return for a finished run; otherwise print what to do next and exit with its code."""
    if run.status == "finished":
        return
    if run.status == "stopped" or interrupted:
        say(with_home(f"Resume it with: vld resume {run.run_id}"), to_stderr=True)
        raise typer.Exit(INTERRUPTED_EXIT)
    reason = (run.error or "unknown reason").strip()
    advice = f"Log: {run_dir.log}"
    if run.status == "crashed":
        advice = f"Resume from its last checkpoint: vld resume {run.run_id}"
    raise CommandError(f"Run {run.run_id} {run.status}: {reason}\n{advice}", exit_code=FAILED_EXIT)


@contextlib.contextmanager
def listening() -> Iterator[StopRequests]:
    """Count stop signals instead of dying from them."""
    requests = StopRequests()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, requests.note) for number in signals]
    try:
        yield requests
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
