"""Starts the engine that trains nothing."""

from __future__ import annotations

import subprocess

from engine.rundir import RunDir
from tests.vld_tui.cli.vld_with_stand_in import STAND_IN_COMMAND
from vld_tui.launch.local import launch


def start_stand_in(run_dir: RunDir, gpu: str | None) -> subprocess.Popen[bytes]:
    """Start it on a run."""
    return launch(run_dir, STAND_IN_COMMAND, gpu=gpu)
