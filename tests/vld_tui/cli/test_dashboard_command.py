"""``vld-tui`` printed once, and what ``vld serve`` refuses."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.protocol.extras import install_command
from tests.vld_tui.cli.conftest import Vld
from vld_tui.cli.dashboard import app


def test_the_runs_are_printed_once(history: Vld) -> None:
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["--once", "--home", str(history.home)])
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert "3 runs" in heading
    assert any("first" in row and "finished" in row for row in rows)


def test_a_dumb_terminal_is_refused_with_what_to_use_instead(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    code = "from vld_tui.start import main; main()"
    command = [sys.executable, "-c", code, "--home", str(tmp_path)]
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "wb") as terminal:
        done = subprocess.run(
            command,
            check=False,
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env={**os.environ, "TERM": "dumb"},
        )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The dashboard needs a full terminal, but TERM is dumb.")
    assert "vld-tui --once" in done.stderr


def test_the_dashboard_ends_with_its_terminal_without_being_signalled(tmp_path: Path) -> None:
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    code = f"{ignoring}; from vld_tui.start import main; main()"
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code, "--home", str(tmp_path / "home")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    ) as process:
        os.close(theirs)
        drawn = b""
        while b"No runs yet" not in drawn:
            drawn += os.read(ours, 65_536)
        assert process.poll() is None
        os.close(ours)
        assert process.wait(timeout=60) == -signal.SIGHUP


def test_matching_runs_are_printed_as_plain_text_in_a_narrow_place(history: Vld) -> None:
    narrow = CliRunner(env={"COLUMNS": "40", "LINES": "24"})
    arguments = ["--once", "--home", str(history.home), "--where"]
    result = narrow.invoke(app, [*arguments, "first"])
    assert result.exit_code == 0
    assert " 1 of 3 match: first" in result.stdout
    assert "\x1b" not in result.stdout
    assert all(len(line) <= 40 for line in result.stdout.splitlines())
    none = narrow.invoke(app, [*arguments, "steps > 1000000 and status:finished"])
    assert none.stdout.splitlines()[1] == " 0 of 3 match: steps > 1000000 and stat…"
    wrong = narrow.invoke(app, [*arguments, "dropout>"])
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("Error: ")


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an ssh on the path that writes its arguments to a file and runs the command here."""
    programs, told = tmp_path / "bin", tmp_path / "told"
    programs.mkdir()
    for name, text in {
        "ssh": f'printf "%s\\n" "$@" > {told}; for last; do :; done; exec sh -c "$last"',
        "vld-tui": 'echo "$COLUMNS" "$@"; exit "${STATUS:-0}"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("COLUMNS", "93")
    return told


def test_another_machine_runs_its_own_dashboard_with_these_options(
    ssh: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--home", "/data/my runs; rm -r $HOME", "--where", "name:'it''s'"]
    result = CliRunner().invoke(app, ["--host", "me@gpu", "--once", *options])
    assert result.exit_code == 0
    assert ssh.read_text().splitlines()[:2] == ["--", "me@gpu"]
    said = "93 --once --where name:'it''s' --home /data/my runs; rm -r $HOME\n"
    assert capfd.readouterr().out == said


@pytest.mark.parametrize("host", ["-oProxyCommand=true", "me@-gpu", "-l@gpu", "", "me@"])
def test_a_host_that_ssh_would_read_as_an_option_is_refused(ssh: Path, host: str) -> None:
    result = CliRunner().invoke(app, [f"--host={host}", "--once"])
    assert result.exit_code == 2
    assert result.stderr == f"Error: {host!r} is not a host: use USER@HOST.\n"
    assert not ssh.exists()


@pytest.mark.parametrize(
    ("status", "exit_code", "said"),
    [
        (0, 0, ""),
        (3, 3, ""),
        (
            127,
            2,
            "Error: vld-tui not found on gpu: it is not on the PATH of commands run over ssh.\n",
        ),
        (255, 2, "Error: ssh could not connect to gpu, or lost the connection.\n"),
    ],
)
def test_how_the_other_machine_ends(
    ssh: Path, monkeypatch: pytest.MonkeyPatch, status: int, exit_code: int, said: str
) -> None:
    monkeypatch.setenv("STATUS", str(status))
    result = CliRunner().invoke(app, ["--host", "gpu", "--once"])
    assert result.exit_code == exit_code
    assert result.stderr.startswith(said)
    assert bool(result.stderr) == bool(said)


def test_without_ssh_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["--host", "gpu"])
    assert result.exit_code == 2
    assert result.stderr == "Error: ssh is missing. Install an OpenSSH client.\n"


def test_in_a_terminal_ssh_gets_one(ssh: Path) -> None:
    command = [sys.executable, "-c", "from vld_tui.cli.dashboard import main; main()"]
    environment = os.environ | {"COLORTERM": "truecolor"}
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*command, "--host", "gpu"], stdin=slave, stdout=slave, stderr=slave, env=environment
    ) as process:
        assert process.wait(timeout=60) == 0
    os.close(slave)
    os.close(master)
    assert ssh.read_text().splitlines() == [
        "-t", "--", "gpu", "env COLORTERM=truecolor vld-tui",
    ]  # fmt: skip


def test_a_home_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    for folder in (tmp_path / "mistyped", tmp_path):
        result = CliRunner().invoke(app, ["--once", "--home", str(folder)])
        assert result.exit_code == 2
        assert f"The home {folder} does not exist yet" in result.stderr
        assert "--home DIR" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "99999"], "--port is 99999, but must be from 0 to 65535."),
        (["--port", "-1"], "--port is -1, but must be from 0 to 65535."),
        (["--port", "http"], "'http' is not a whole number."),
        (["--host", "0.0.0.0"], "ssh -L 8000:localhost:8000"),
        (["--host", ""], "can be reached from other machines"),
        (["--host", "example.com"], "can be reached from other machines"),
        (["--host", "192.0.2.1", "--public"], "Cannot listen on 192.0.2.1, port 8000"),
        (["--host", "no.such.invalid", "--public"], "is not an address of this machine"),
    ],
)
def test_an_address_that_cannot_be_served_at(vld: Vld, options: list[str], said: str) -> None:
    result = vld("serve", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_a_port_that_is_taken(vld: Vld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = vld("serve", "--port", str(port))
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: Port {port} of 127.0.0.1 is in use. Choose another with --port, or use --port 0.\n"
    )


@pytest.mark.parametrize("missing", ["textual_serve.server", "aiohttp"])
def test_without_textual_serve_it_says_how_to_get_it(
    vld: Vld, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("vld_tui.dashboard.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "vld_tui.cli.serve", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    result = vld("serve")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"{install_command('serve')}\n")
