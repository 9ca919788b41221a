"""Processor time that other programs take is told from this process's own."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from engine.machine.processor import OtherPrograms, usable_cores

WINDOW_S = 0.4
BUSY = "import time\nprint(flush=True)\nwhile True: time.monotonic()"


def test_programs_on_every_core_disturb() -> None:
    command = [sys.executable, "-c", BUSY]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(usable_cores())]
    try:
        for program in programs:
            assert program.stdout is not None
            program.stdout.readline()
        others = OtherPrograms()
        time.sleep(WINDOW_S)
        assert others.disturbed(usable_cores())
    finally:
        for program in programs:
            program.kill()
            program.communicate()


def test_its_own_work_does_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, WINDOW_S * usable_cores()])
    monkeypatch.setattr("engine.machine.processor._busy_s", lambda: next(ticks))
    own = iter([0.0, WINDOW_S * usable_cores()])
    monkeypatch.setattr("engine.machine.processor._own_s", lambda: next(own))
    others = OtherPrograms()
    time.sleep(WINDOW_S)
    assert not others.disturbed(usable_cores())
