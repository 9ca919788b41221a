"""``vld-tui`` printed once, and what ``vld serve`` refuses."""

from __future__ import annotations

import os
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
