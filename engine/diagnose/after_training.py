"""Diagnostics of a run whose training has ended, in a process of their own.

They are part of the run: it ends after them. But whatever fails is a caution, and neither a crash
nor insufficient memory of their process fails the run.
"""

from __future__ import annotations

import gc
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, Final

import msgspec
import torch

from engine.machine.processor import release_freed_memory
from engine.protocol import NO_TARGET, Cautioned, RunFinished, RunSpec, RunStopped
from engine.protocol.diagnostics import (
    DIAGNOSTICS,
    TOPICS,
    Diagnosed,
    DiagnoseRun,
    DiagnoseRuns,
)
from engine.protocol.work import WorkDone, WorkNote, WorkProgress, WorkRefused, WorkReport
from engine.rundir import RunDir
from engine.rundir.life import exit_cause
from engine.rundir.phases import Phases, ReportedPhase
from engine.stop_request import StopRequest
from engine.work import INTERRUPTED_EXIT

COMMAND: Final = (sys.executable, "-P", "-m", "engine.diagnose")
POLL_S: Final = 0.1
PATIENCE_S: Final = 10.0
"""Seconds from a stop until the process is killed, because it is within a long computation."""
SIGNAL_S: Final = 1.0
"""Seconds in which a signal that ended the process reaches this one too, as of a cluster's job."""
_ENDED_BY_STOP: Final = (-signal.SIGUSR2, -signal.SIGTERM, -signal.SIGINT, INTERRUPTED_EXIT)
"""Exit codes of a process that was ended by a signal that asks a run to stop."""


class _Interrupted(Exception):  # noqa: N818 - not an error
    """Raised when the process was ended because a stop was requested."""


def diagnostics_after_training(spec: RunSpec) -> tuple[str, ...]:
    """Return the diagnostics that a run computes itself, in order.

    Those that need other runs are left to the interface, which finds them in the history.
    """
    has_target = spec.target not in (None, NO_TARGET)
    topics = {*spec.diagnose}
    if "all" in topics:
        topics = {*TOPICS} if has_target else {"rich"}
    return tuple(
        each.name for each in DIAGNOSTICS.values() if each.topic in topics and not each.needs_runs
    )


def diagnose_trained(
    spec: RunSpec, end: RunFinished, run_dir: RunDir, phases: Phases, stop: StopRequest
) -> RunFinished | RunStopped:
    """Compute the diagnostics that a trained run asks for, and return how it ended.

    What fails is recorded as a caution. A stop ends the computation: the run can be resumed, and
    then computes what is missing.
    """
    names = diagnostics_after_training(spec)
    if not names:
        return end
    phases.begin("diagnosing")  # the process reports only after it has loaded torch
    _release_memory()
    request = DiagnoseRuns(
        (
            DiagnoseRun(
                run_dir=str(run_dir.path),
                diagnostics=names,
                device=spec.device,
                batch_size=spec.eval_batch_size,
                threads=spec.threads,
            ),
        )
    )
    try:
        problems = [*_compute(request, phases, stop)]
    except _Interrupted:
        return RunStopped(step=end.step, reason=stop.reason, wall_s=end.wall_s)
    except OSError as error:
        problems = [f"their process could not start: {error}"]
    for problem in problems:
        phases.record(Cautioned(message=_caution(problem, names, run_dir)))
    return end


def _release_memory() -> None:
    """Return the memory that training used to the system and to the GPU."""
    gc.collect()
    torch.cuda.empty_cache()
    release_freed_memory()


def _caution(problem: str, names: tuple[str, ...], run_dir: RunDir) -> str:
    topics = dict.fromkeys(DIAGNOSTICS[name].topic for name in names)
    again = " or ".join(f"vld {topic} {run_dir.run_id}" for topic in topics)
    return f"Some diagnostics are missing: {problem.rstrip('.')}. To compute them: {again}"


def _compute(request: DiagnoseRuns, phases: Phases, stop: StopRequest) -> Iterator[str]:
    """Compute diagnostics, and yield why some have no result.

    Raises:
        _Interrupted: if a stop was requested.
        OSError: if the process cannot start.
    """
    command = [*COMMAND, msgspec.json.encode(request).decode()]
    # In a new session, because a signal to the run's group would end it before it is asked to.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            answer = _follow(process, phases, stop)
        except BaseException:
            process.terminate()
            raise
        finally:
            _wait(process)
    if isinstance(answer, WorkDone):
        [done] = msgspec.json.decode(answer.answer, type=tuple[Diagnosed, ...])
        titles = ((DIAGNOSTICS[name].title, why) for name, why in done.problems.items())
        yield from (f"{title}: {why}" for title, why in titles)
        yield from filter(None, [done.unsaved, done.refused])
    elif isinstance(answer, WorkRefused):
        yield answer.message
    else:
        code = process.returncode
        if code in _ENDED_BY_STOP and _is_asked(stop):
            raise _Interrupted
        how = f"was {exit_cause(code)}" if code < 0 else f"ended with exit code {code}"
        yield f"their process {how}, see engine.log"


def _is_asked(stop: StopRequest) -> bool:
    """Wait briefly for a stop to be requested, and return whether it was."""
    end = time.monotonic() + SIGNAL_S
    while not stop.requested and time.monotonic() < end:
        time.sleep(POLL_S)
    return stop.requested


def _follow(
    process: subprocess.Popen[bytes], phases: Phases, stop: StopRequest
) -> WorkReport | None:
    """Report the progress of a process, and return its last report.

    Raises:
        _Interrupted: if a stop was requested.
    """
    assert process.stdout is not None
    reports: queue.SimpleQueue[WorkReport | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, reports), daemon=True).start()
    shown: tuple[str, ReportedPhase] | None = None
    while True:
        if stop.requested:
            raise _Interrupted
        try:
            report = reports.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if isinstance(report, WorkProgress):
            if shown is None or shown[0] != report.what:
                phase = phases.begin(
                    "diagnosing", report.total, done=report.done, detail=report.what
                )
                shown = report.what, phase
            shown[1].reached(report.done)
        elif isinstance(report, WorkNote):
            print(report.text, file=sys.stderr, flush=True)  # noqa: T201 - the log of the run
        else:
            return report


def _read(stream: IO[bytes], reports: queue.SimpleQueue[WorkReport | None]) -> None:
    """Put the reports of a process into a queue, then None."""
    try:
        for line in stream:
            reports.put(msgspec.json.decode(line, type=WorkReport))
    except (msgspec.DecodeError, ValueError):  # something else was printed, or the pipe was closed
        pass
    reports.put(None)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that is about to end."""
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
