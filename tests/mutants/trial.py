"""Tests that run in a copy of the program, in a process forked from this one."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import psutil
import pytest

from tests.mutants.mutants import ROOT

POLL_S: Final = 0.02
OURS: Final = ("engine", "vld_tui", "tests", "benchmarks")
"""Packages that a copy imports from its own folder."""


@dataclass(frozen=True)
class Outcome:
    """How tests ended: pytest's exit code, or a signal's number less than 0."""

    code: int
    wall_s: float
    failed_test: str
    output: str

    @property
    def has_passed(self) -> bool:
        """Return whether all passed."""
        return self.code == pytest.ExitCode.OK

    @property
    def has_failed(self) -> bool:
        """Return whether one failed, or the process was killed, as it is when its time is up."""
        return self.code == pytest.ExitCode.TESTS_FAILED or self.code < 0


class Trial:
    """Tests of a copy at ``root``, until the first one fails or ``limit_s`` seconds are over."""

    def __init__(
        self, root: Path, tests: Sequence[str], tmp: Path, limit_s: float | None = None
    ) -> None:
        self.root = root
        self._place = str(tmp.parent)
        self._output, self._failed = tmp / "output", tmp / "failed"
        tmp.mkdir()
        self._began = time.monotonic()
        self._deadline = None if limit_s is None else self._began + limit_s
        self._pid = os.fork()
        if self._pid == 0:
            _run_pytest(root, tests, tmp, self._output, self._failed)

    def wait(self) -> Outcome:
        """Wait for the end."""
        try:
            while (outcome := self.poll()) is None:
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            self.end()
            raise
        return outcome

    def poll(self) -> Outcome | None:
        """Return how the tests ended; None: they still run."""
        is_over = self._deadline is not None and time.monotonic() > self._deadline
        if is_over:
            os.kill(self._pid, signal.SIGKILL)
        done, status = os.waitpid(self._pid, 0 if is_over else os.WNOHANG)
        if not done:
            return None
        self._end_others()
        return Outcome(
            os.waitstatus_to_exitcode(status),
            time.monotonic() - self._began,
            self._failed.read_text() if self._failed.exists() else "",
            self._output.read_text(errors="replace") if self._output.exists() else "",
        )

    def end(self) -> None:
        """Break the tests off."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._end_others()

    def _end_others(self) -> None:
        """Kill what the tests left running: such as engines, which have sessions of their own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        for process in psutil.process_iter(["cmdline"]):
            if any(self._place in argument for argument in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.Error):
                    process.kill()


class _FirstFailure:
    """Writes which test failed first."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self._file.exists():
            self._file.write_text(report.nodeid)


def _run_pytest(
    root: Path, tests: Sequence[str], tmp: Path, output: Path, failed: Path
) -> NoReturn:
    """Run tests of a copy instead of what this process did before, and exit."""
    code: int = pytest.ExitCode.INTERNAL_ERROR
    try:
        os.setsid()
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        os.chdir(root)
        sys.path[:] = [str(root), *(each for each in sys.path if Path(each).resolve() != ROOT)]
        os.environ["PYTHONPATH"] = str(root)
        os.environ["TMPDIR"] = tempfile.tempdir = str(tmp)
        options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp / 'pytest'}"]
        known = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # what was imported before
        code = pytest.main([*options, *known, *tests], [_FirstFailure(failed)])
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
