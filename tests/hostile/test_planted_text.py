"""Hostile text in every field at once: nothing of it is obeyed wherever it is shown."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.hostile.planted import PAGE, TEXT, obeyed_in, plant
from tests.vld_tui.cli.conftest import Vld
from tests.vld_tui.dashboard.fake_history import screen_lines
from vld_tui.dashboard.app import Dashboard, make_dashboard
from vld_tui.home import Home

COMMANDS = (
    ("ls",), ("ls", "--json"), ("show", "{0}"), ("show", "{1}"), ("show", "{0}", "--json"),
    ("logs", "{0}"), ("logs", "{1}"), ("curve", "{0}"), ("compare", "{0}", "{1}"),
    ("compare", "{0}", "{1}", "--json"), ("rm", "../x"), ("show", TEXT), ("ls", "--where", TEXT),
    ("tag", "{0}"), ("note", "{0}"), ("rebuild",), ("sweep", "ls"), ("sweep", "status", TEXT),
    ("report", TEXT), ("data", "add", TEXT, "/nowhere"), ("run", "--target", TEXT),
    ("run", "--config", TEXT), ("run", "--data", TEXT), ("run", "--weights", TEXT),
)  # fmt: skip


ON_A_TERMINAL = (
    ("ls", "--csv"), ("ls", "--where", "name=x", "--csv"), ("ls", "--where", "note~zzz"),
    ("curve", "{0}", "--csv"), ("resume", TEXT), ("stop", TEXT), ("queue", "ls"), ("data", "ls"),
    ("prune", "--dry-run"), ("sync", TEXT), ("profile", "show", TEXT), ("ls", TEXT), (TEXT,),
)  # fmt: skip
"""Further commands; some are refused, and quote what was typed."""
BETWEEN = "-" * 30
_EACH = """
import json, sys
from vld_tui.cli import app
for command in json.loads(sys.argv[1]):
    try:
        app(command)
    except SystemExit:
        pass
    sys.stderr.flush()
    print(sys.argv[2], flush=True)
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[str]]:
    home = Home(tmp_path_factory.mktemp("planted") / "home")
    return home, plant(home)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:30])
def test_no_command_lets_text_steer_the_terminal(
    planted: tuple[Home, list[str]], command: Sequence[str]
) -> None:
    home, runs = planted
    result = Vld(home.path)(*(word.replace("{0}", runs[0]).replace("{1}", runs[1])
                              for word in command))  # fmt: skip
    assert not obeyed_in(result.stdout + result.stderr)
    assert "Traceback" not in result.stderr
    assert "bug in vld" not in result.stderr


def test_scripts_get_the_text_as_it_is(planted: tuple[Home, list[str]]) -> None:
    """CSV too: quoted as a sheet needs it, and nothing added that a script would have to undo."""
    home, runs = planted
    printed = Vld(home.path)("ls", "--json").stdout
    assert not obeyed_in(printed)
    assert {run["note"] for run in json.loads(printed)} == {f"note {TEXT}"}
    rows = list(csv.DictReader(io.StringIO(Vld(home.path)("ls", "--csv").stdout, newline="")))
    assert {row["run"] for row in rows} == set(runs)
    assert {row["dataset"] for row in rows} == {f"d {TEXT}"}


def test_nothing_steers_a_terminal_that_is_one(planted: tuple[Home, list[str]]) -> None:
    home, runs = planted
    words = [
        [word.replace("{0}", runs[0]).replace("{1}", runs[1]) for word in command]
        for command in (*COMMANDS, *ON_A_TERMINAL)
        if command[0] != "run"  # starts an engine, to plan
    ]
    steered = {
        " ".join(command)[:40]: found
        for command, shown in zip(words, on_a_terminal(home, words), strict=True)
        if (found := obeyed_in(shown))
    }
    assert steered == {}


def on_a_terminal(home: Home, commands: Sequence[Sequence[str]]) -> list[str]:
    """Return what each command shows on a terminal that knows no styles, all of one process."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ, "VLD_HOME": str(home.path), "TERM": "dumb", "NO_COLOR": "1",
        "COLUMNS": "100",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    program = [sys.executable, "-c", _EACH, json.dumps([[*words] for words in commands]), BETWEEN]
    process = subprocess.Popen(
        program, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux reports that the other end is closed
        while block := os.read(ours, 2**16):
            shown += block
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode().replace("\r\n", "\n")  # by the terminal itself
    return text.split(f"{BETWEEN}\n")[:-1]


def looks_at(*keys: str) -> Callable[[Dashboard, Pilot[None]], Awaitable[str]]:
    async def look(app: Dashboard, pilot: Pilot[None]) -> str:
        for _ in range(100):
            await pilot.pause(0.05)
            if "=cmd" in "\n".join(screen_lines(app)):
                break
        shown = []
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.3)
            shown += screen_lines(app)
        return "\n".join(shown)

    return look


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [("0",), ("down", "enter", "1", "2", "3", "4", "5"), ("enter", "l"), ("f",), ("t",), ("e",),
     ("space", "down", "space", "d"), ("n",), ("c",), ("v",)],
    ids=" ".join,
)  # fmt: skip
def test_the_dashboard_shows_it_as_text(
    planted: tuple[Home, list[str]], keys: tuple[str, ...]
) -> None:
    home, _ = planted

    async def scene() -> tuple[str, str, bool]:
        app = make_dashboard(home)
        async with app.run_test(size=(160, 50)) as pilot:
            shown = await looks_at(*keys)(app, pilot)
            return shown, app.export_screenshot(), app.is_running

    shown, picture, is_running = asyncio.run(scene())
    assert not obeyed_in(shown)
    assert is_running
    assert "<script>" not in picture
    assert PAGE not in picture
    log = home.error_log.read_text() if home.error_log.exists() else ""
    errors = [line for line in log.splitlines() if line[:1].isalpha() and "Error" in line]
    assert all("No screens on stack" in error for error in errors), log  # looked as it closed
