"""The installed ``vld-tui`` in a real terminal, on real images, with the real engine."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from textual.app import App

from engine.protocol import FIELDS, RunFinished
from engine.rundir import RunDir
from tests.small_runs import LONGER_RUN, engine_environment, read_events
from tests.vld_tui.dashboard.fake_planner import FakePlanner
from vld_tui.dashboard.screens.new_run.screen import NewRun
from vld_tui.dashboard.themes import with_selection

BIN = Path(sys.executable).parent
SIZE = (160, 45)
PATIENCE_S = 120.0
POLL_S = 0.05
TYPED = (
    "data_dir", "target", "model", "weights", "steps", "batch_size", "image_size", "head_steps",
    "eval_every", "precision", "memory_format", "threads",
)  # fmt: skip
"""Fields that make a run one of seconds."""
GROUPS = tuple(dict.fromkeys(info.group for info in FIELDS.values()))
TO_LAST_GROUP = ("up",) * 5
UNFOLD = (*TO_LAST_GROUP, *("right", "up") * len(GROUPS))
"""Keys that show every field: past the fields in sight to the last group, then upwards."""
ACCURACIES = r"\b(\d+\.\d)%\s+(\d+\.\d)%\s+([▁▂▃▄▅▆▇█]*)"
"""ID and OOD of a line of the table, and the OOD trail, if there is room for it."""

Value = TypeVar("Value")

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="there is no tmux here")


def wait_for(what: Callable[[], Value], said: Callable[[], str] = str) -> Value:
    """Return what is there as soon as it is not empty; else fail with what is there instead."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := what()):
        assert time.monotonic() < deadline, f"it took too long; there is:\n{said()}"
        time.sleep(POLL_S)
    return value


@dataclass(frozen=True)
class Terminal:
    """A terminal with a tmux server of its own."""

    environment: dict[str, str]

    def tmux(self, *words: str) -> str:
        """Run a tmux command and return what it prints."""
        return subprocess.run(
            ["tmux", "-u", "-f", os.devnull, *words],
            check=True, capture_output=True, text=True, timeout=PATIENCE_S, env=self.environment,
        ).stdout  # fmt: skip

    def open_dashboard(self) -> None:
        """Start ``vld-tui``; a line tells how it ended."""
        self.tmux("respawn-pane", "-k", "vld-tui; echo left with $?; exec cat")

    def leave_dashboard(self) -> None:
        """Press q and wait until the program has ended, and well."""
        self.press("q")
        self.wait_for("left with 0")

    def press(self, *keys: str) -> None:
        """Press keys, named as tmux names them."""
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a text."""
        self.tmux("send-keys", "-l", text)

    def screen(self) -> str:
        """Return what is on the screen."""
        return self.tmux("capture-pane", "-p")

    def line(self, label: str) -> str:
        """Return the first line with this label, with its styles; empty: there is none."""
        plain, styled = self.screen().splitlines(), self.tmux("capture-pane", "-p", "-e")
        lines = zip(plain, styled.splitlines(), strict=False)
        labelled = (styled for plain, styled in lines if plain.strip(" •│").split()[:1] == [label])
        return next(labelled, "")

    def wait_for(self, *texts: str) -> str:
        """Wait until the screen shows all of these texts and return it."""

        def found() -> str:
            screen = self.screen()
            return screen if all(text in screen for text in texts) else ""

        return wait_for(found, self.screen)

    def find(self, pattern: str) -> re.Match[str]:
        """Wait until the screen matches and return the match."""
        found = wait_for(lambda: re.search(pattern, self.screen()), self.screen)
        assert found is not None
        return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a home that does not exist yet; runs that still go on in the end are killed."""
    home = tmp_path / "home"
    yield home
    for folder in home.glob("runs/*"):
        process = RunDir(folder).read_process()
        if process is not None and process.is_alive():
            psutil.Process(process.pid).kill()


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    with tempfile.TemporaryDirectory() as sockets:  # tmp_path is too long for the path of one
        environment = engine_environment() | {
            "VLD_HOME": str(home),
            "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
            "LC_ALL": "C.UTF-8",
            "TMUX_TMPDIR": sockets,
        }
        environment.pop("TMUX", None)
        terminal = Terminal(environment)
        width, height = map(str, SIZE)
        terminal.tmux("new-session", "-d", "-x", width, "-y", height, "cat")
        yield terminal
        terminal.tmux("kill-server")


class Themed(App[None]):
    """An application with the colours of the dashboard."""

    def get_css_variables(self) -> dict[str, str]:
        return with_selection(super().get_css_variables())


def fields_in_tab_order() -> list[str]:
    """Return what Tab goes to in the form, all of it unfolded, from what has the keyboard then."""

    async def read() -> list[str]:
        app = Themed()
        async with app.run_test(size=SIZE) as pilot:
            await app.push_screen(NewRun(None, FakePlanner()))
            await pilot.pause()
            await pilot.press(*UNFOLD)
            await pilot.pause()
            chain = app.screen.focus_chain
            first = chain.index(app.screen.focused) if app.screen.focused else 0
            return [widget.id or "" for widget in (*chain[first:], *chain[:first])]

    return asyncio.run(read())


def help_shown(terminal: Terminal) -> str:
    """Return the first line of the help of what has the keyboard in the form."""
    lines = [line.strip("│ ") for line in terminal.screen().splitlines()]
    rules = [row for row, line in enumerate(lines) if line and not line.strip("─")]
    return lines[rules[-1] + 1] if rules else ""


def go_to(terminal: Terminal, flag: str) -> None:
    """Press Tab until a field has the keyboard; which fields there are depends on the values.

    The help of most fields is another than that of the field before. If it does not change within a
    second, Tab is pressed again; a field that is missed is reached in the next round.
    """
    for _ in range(3 * len(FIELDS)):
        shown = help_shown(terminal)
        if shown.startswith(f"{flag}  "):
            return
        terminal.press("Tab")
        deadline = time.monotonic() + 1
        while help_shown(terminal) == shown and time.monotonic() < deadline:
            time.sleep(POLL_S)
    raise AssertionError(f"{flag} is not in the form:\n{terminal.screen()}")


def fill_in(terminal: Terminal, flag: str, text: str) -> None:
    """Go on to a field of the form and type; this replaces its value."""
    go_to(terminal, flag)
    terminal.type(text)
    wait_for(lambda: text[-12:] in terminal.line(flag.removeprefix("--")), terminal.screen)


def fill_in_and_launch(terminal: Terminal, values: Mapping[str, object]) -> None:
    """Make a run in the form: with the functions above, all that knows how it is laid out."""
    terminal.press(*(key.capitalize() for key in TO_LAST_GROUP))
    for group in reversed(GROUPS):
        terminal.press("Right")
        terminal.wait_for(f"▾ {group}")
        terminal.press("Up")
    for name in fields_in_tab_order():
        if name in values:
            fill_in(terminal, FIELDS[name].flag, str(values[name]))
    terminal.press("C-r")


def test_a_run_is_made_watched_left_and_found_again(
    terminal: Terminal, home: Path, small_emoji: Path
) -> None:
    terminal.open_dashboard()
    terminal.wait_for("No runs yet")
    terminal.press("n")
    terminal.wait_for("New run")
    values = {**LONGER_RUN, "data_dir": small_emoji, "target": "noto", "eval_every": 4}
    fill_in_and_launch(terminal, {name: values[name] for name in TYPED})

    first = terminal.find(ACCURACIES)
    wait_for(lambda: len(terminal.find(ACCURACIES)[3]) > len(first[3]), terminal.screen)
    terminal.leave_dashboard()

    (folder,) = home.glob("runs/*")
    run = RunDir(folder)
    assert not isinstance(read_events(run)[-1], RunFinished), "it was over before it was left"
    wait_for(lambda: isinstance(read_events(run)[-1], RunFinished), run.log.read_text)
    end = read_events(run)[-1]
    assert isinstance(end, RunFinished)

    terminal.open_dashboard()
    row = terminal.find(rf"finished.*{ACCURACIES}")
    assert (row[1], row[2]) == (f"{end.id_accuracy:.1%}"[:-1], f"{end.ood_accuracy:.1%}"[:-1])
    terminal.leave_dashboard()
