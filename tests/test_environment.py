"""The tests pass whatever the shell that starts them has set."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOWHERE = "/nowhere"
READ_ONLY = Path("/proc") if Path("/proc").is_dir() else Path("/")
"""A folder in which nothing can be made, by root neither."""

PLAIN = {
    "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C", "PYTHONHASHSEED": "1", "PAGER": "false",
    "EDITOR": "false", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "SLURM_JOB_NUM_NODES": "2",
    "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
}  # fmt: skip
COLOURFUL = {
    "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "COLORTERM": "truecolor", "LANG": "de_DE.UTF-8",
    "TZ": "Asia/Kolkata", "COLUMNS": "37", "LINES": "9", "PYTHONHASHSEED": "2",
    "TEXTUAL_ANIMATIONS": "none", "VLD_HOME": NOWHERE, "VLD_DATABASES": NOWHERE, "HOME": NOWHERE,
    "XDG_DATA_HOME": NOWHERE, "XDG_CACHE_HOME": NOWHERE, "XDG_CONFIG_HOME": NOWHERE,
}  # fmt: skip
AFFECTED = (
    "tests/vld_tui/dashboard/test_every_screen.py", "tests/vld_tui/dashboard/test_home_screen.py",
    "tests/vld_tui/views/test_raster_against_another.py", "tests/vld_tui/test_home.py",
    "tests/vld_tui/cli/test_errors_and_start.py", "tests/vld_tui/cli/test_data_fetch.py",
    "tests/vld_tui/cli/test_signals_and_detach.py", "tests/vld_tui/cli/test_history_commands.py",
    "tests/vld_tui/launch/slurm/test_submission.py", "tests/engine/test_engine_process.py",
)  # fmt: skip
"""Tests of what reads variables: screens, colours, widths, homes, signals, times, proxies."""


def start(
    command: list[str], shell: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run Python as a script does that ignores signals, in a folder and with these variables."""

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.umask(0o077)

    own = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    return subprocess.run(
        [sys.executable, *command], env={**own, "PYTHONPATH": str(ROOT), **shell},
        cwd=folder, preexec_fn=ignore, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_a_shell_has_set_does_not_reach_the_tests() -> None:
    code = (
        "import json, os, signal, time, tests.environment; print(json.dumps(["
        "dict(os.environ), os.umask(0), time.tzname[0], os.listdir(os.environ['HOME']),"
        "signal.getsignal(signal.SIGINT) is signal.default_int_handler]))"
    )
    ran = start(["-c", code], PLAIN | COLOURFUL, READ_ONLY)
    variables, umask, zone, in_home, hears = json.loads(ran.stdout)
    assert not (PLAIN | COLOURFUL).items() & variables.items()
    assert (umask, zone, in_home, hears) == (0o022, "UTC", [], True)
    assert not Path(variables["HOME"]).exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shell", [PLAIN, COLOURFUL], ids=["plain", "colourful"])
def test_what_reads_variables_passes_in_any_shell(shell: Mapping[str, str], tmp_path: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    options += ["--rootdir", str(ROOT), "--basetemp", str(tmp_path / "inner")]
    files = [str(ROOT / name) for name in AFFECTED]
    ran = start(["-m", "pytest", *options, *files], shell, READ_ONLY)
    assert ran.returncode == 0, ran.stdout[-10_000:]
