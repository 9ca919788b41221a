"""How ``vld`` starts, what it imports, and how it says that something is wrong."""

import contextlib
import os
import pty
import re
import select
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.vld_tui.cli.conftest import WITH_STAND_IN, Vld
from vld_tui.cli import app
from vld_tui.cli.group import COMMANDS

NEVER_FOR_READING = ("torch", "timm", "torchvision", "sqlite_utils", "pandas", "numpy")


def python(vld: Vld, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, timeout=60, env=vld.environment(),
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["ls"], ["ls", "--json"], ["show", "first"]])
def test_reading_imports_nothing_heavy(history: Vld, arguments: list[str]) -> None:
    ran = python(
        history,
        "import sys\n"
        f"sys.argv = ['vld', *{arguments!r}]\n"
        "from vld_tui.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"heavy = sorted(set({NEVER_FOR_READING!r}) & set(sys.modules))\n"
        "print('heavy:', heavy, file=sys.stderr)\n",
    )
    assert ran.stdout
    assert ran.stderr == "heavy: []\n"


@pytest.mark.parametrize("group", ["queue", "combine", "sweep", "data", "models"])
def test_a_group_without_a_command_shows_its_help(vld: Vld, group: str) -> None:
    shown = vld(group)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout == vld(group, "--help").stdout
    assert shown.stdout.startswith("Usage: ")


@pytest.mark.parametrize("arguments", [["--help"], ["ls"]])
def test_help_and_list_import_no_validation_library_and_no_rendering(
    history: Vld, arguments: list[str]
) -> None:
    ran = python(
        history,
        "import sys\n"
        f"sys.argv = ['vld', *{arguments!r}]\n"
        "from vld_tui.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print({'pydantic', 'rich.console'} & set(sys.modules), file=sys.stderr)\n",
    )
    assert ran.stderr == "set()\n"


def test_a_list_imports_no_studies(history: Vld) -> None:
    ran = python(
        history,
        "import sys\n"
        "sys.argv = ['vld', 'ls']\n"
        "from vld_tui.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print('vld_tui.study' in sys.modules, file=sys.stderr)\n",
    )
    assert ran.stderr == "False\n"


def test_help_names_every_command_and_imports_none(vld: Vld) -> None:
    ran = python(
        vld,
        "import sys\n"
        "sys.argv = ['vld', '--help']\n"
        "from vld_tui.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print({'vld_tui.store', 'engine', 'msgspec', 'rich'} & set(sys.modules), "
        "file=sys.stderr)\n",
    )
    assert ran.stderr == "set()\n"
    for name, info in COMMANDS.items():
        assert re.search(rf"^  {name}\s+{re.escape(info.help)}$", ran.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_that_fits_80_columns(vld: Vld, name: str) -> None:
    result = vld(name, "--help")
    assert result.exit_code == 0
    assert COMMANDS[name].help in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_nothing_typed_shows_the_help(vld: Vld) -> None:
    result = vld()
    assert result.exit_code == 0
    assert "vld [OPTIONS] COMMAND" in result.stdout.replace("root", "vld")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lss"], "No such command 'lss'. Did you mean ls?"),
        (["ls", "--jsn"], "Did you mean --json"),
        (["--nowhere"], "No such option: --nowhere"),
        (["show"], "Missing argument 'RUN'"),
        (["show", "a", "b"], "unexpected extra argument"),
        (["ls", "--limit"], "--limit"),
        (["models", "lss"], "No such command 'lss'"),
    ],
)
def test_wrong_usage_is_told_in_two_lines(vld: Vld, words: list[str], told: str) -> None:
    result = vld(*words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert result.stdout == ""


def test_an_unwritable_home_is_told(vld: Vld, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    home = str(blocked / "home")
    for words in (["--home", home, "run", "--dry-run"], ["run", "--dry-run", "--home", home]):
        result = vld(*words)
        assert result.exit_code == 2
        assert "Cannot write to" in result.stderr
        assert "--home" in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        "ls", "ls --json", "show @last", "curve @last", "compare a b", "logs @last",
        "report paper-fig3", "sweep status", "sweep status x", "sweep ls", "queue ls",
        "prune --dry-run",
    ],
)  # fmt: skip
def test_looking_makes_no_home_of_a_mistyped_name(vld: Vld, tmp_path: Path, words: str) -> None:
    mistyped = tmp_path / "mistyped"
    for looks in (Vld(mistyped)(*words.split()), vld(*words.split(), "--home", str(mistyped))):
        assert looks.exit_code == 2
        assert looks.stderr == (
            f"Error: The home {mistyped} does not exist yet; the first run creates it.\n"
            "To use another one, pass --home DIR or set VLD_HOME.\n"
        )
        assert not mistyped.exists()


def test_looking_does_not_make_the_home_that_nobody_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _: tmp_path / "usual")
    assert CliRunner(env={"VLD_HOME": ""}).invoke(app, ["ls"]).exit_code == 0
    assert not (tmp_path / "usual").exists()


def test_a_database_of_a_newer_version_is_left_alone(history: Vld) -> None:
    database = history.home / "vld.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 999")
    result = history("ls")
    assert result.exit_code == 2
    assert "newer version" in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_home_is_taken_before_and_after_the_command(history: Vld, tmp_path: Path) -> None:
    elsewhere = Vld(tmp_path / "elsewhere")
    elsewhere.home.mkdir()
    assert elsewhere.json("ls") == []
    assert len(elsewhere.json("ls", "--home", str(history.home))) == 3
    assert len(elsewhere.json("--home", str(history.home), "ls")) == 3


def test_a_traceback_is_shown_on_request_only(history: Vld) -> None:
    for words, has_traceback in ((["show", "x"], False), (["--debug", "show", "x"], True)):
        with history.start(*words) as process:
            _, err = process.communicate(timeout=30)
        assert ("Traceback" in err) == has_traceback
        assert process.returncode != 0


def test_a_fault_of_the_program_is_told_without_a_traceback(
    history: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("no [such] thing\x1b[2J")

    monkeypatch.setattr("vld_tui.store.runs.Runs.get", break_down)
    result = history("show", "first")
    assert result.exit_code == 1
    assert "Unexpected RuntimeError: no [such] thing␛[2J" in result.stderr
    assert "--debug" in result.stderr


def test_advice_within_a_line_names_the_home_that_was_given(history: Vld) -> None:
    (history.home / "vld.db").write_bytes(b"not a database" * 100)
    shown = history("show", "first", "--home", str(history.home))
    assert "read from the run folder only: " in shown.stderr
    assert f"run: vld --home {history.home} rebuild" in shown.stderr


def test_a_closed_pipe_is_no_error(history: Vld) -> None:
    command = f"{sys.executable} {WITH_STAND_IN} run --help | head -1"
    ran = subprocess.run(
        ["bash", "-c", command],
        capture_output=True, text=True, check=True, timeout=60, env=history.environment(),
    )  # fmt: skip
    assert ran.stderr == ""
    assert ran.stdout.startswith("Usage:")


def test_a_reader_that_leaves_is_no_error(history: Vld) -> None:
    with history.start("ls", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(timeout=30)
    assert err == ""


def test_an_output_that_knows_no_unicode_is_served(history: Vld) -> None:
    with history.start("ls", PYTHONIOENCODING="ascii") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "? finished" in out


def on_terminal(vld: Vld, *arguments: str, **variables: str) -> str:
    """Run ``vld`` on a terminal of 80 × 24 and return everything it wrote there."""
    terminal, theirs = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **variables}
    process = subprocess.Popen(
        [sys.executable, str(WITH_STAND_IN), *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env=vld.environment(**environment),
    )  # fmt: skip
    os.close(theirs)
    written = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            try:
                written += os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
        elif process.poll() is not None:
            break
    os.close(terminal)
    assert process.wait(timeout=10) == 0, written
    return written.decode()


RUN = ("run", "--model", "finish", "--steps", "100", "--head-steps", "5")


def without_styles(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_a_run_is_shown_live_on_a_terminal(vld: Vld) -> None:
    written = on_terminal(vld, *RUN, STAND_IN_PAUSE_S="0.1")
    assert "\x1b[?25h" in written  # the cursor is back
    text = without_styles(written)
    for part in ("reading the images", "steps/s", "images/s", "left", "← best ID accuracy",
                 "✓ finished in 12s", "vld curve @last", "vld predict @last FOLDER"):  # fmt: skip
        assert part in text
    assert text.count("network   finish") >= 1


def test_no_color_is_respected_on_a_terminal(vld: Vld) -> None:
    written = on_terminal(vld, *RUN, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|38;5;[0-9]+)m", written)
    assert "✓ finished" in without_styles(written)
    curve = on_terminal(vld, "curve", "@last", NO_COLOR="1")
    colour = r"\x1b\[[0-9;]*(3[0-9]|38;[25];[0-9;]+)m"
    assert not re.search(colour, curve)
    assert re.search(rf"{colour}●", on_terminal(vld, "curve", "@last"))


def test_a_dumb_terminal_gets_plain_lines(vld: Vld) -> None:
    assert "\x1b" not in on_terminal(vld, *RUN, TERM="dumb")


def test_the_list_fits_the_terminal(history: Vld) -> None:
    text = without_styles(on_terminal(history, "ls"))
    lines = text.replace("\r", "").splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("all listed: ")
    assert max(map(len, lines)) <= 80
    assert all("%" in line for line in lines[2:5])
    assert lines[5] == "▼ collapsed, predicts one class for every image; for advice: vld show RUN"


def test_a_long_list_is_cut_on_a_terminal_and_says_so(
    history: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = without_styles(on_terminal(history, "ls", "--limit", "1"))
    assert "… and 2 more runs; list all with --limit 0." in text
