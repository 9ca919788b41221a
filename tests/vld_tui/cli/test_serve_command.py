"""``vld serve``: what it refuses."""

from __future__ import annotations

import socket
import sys

import pytest

from engine.protocol.extras import install_command
from tests.vld_tui.cli.conftest import Vld


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
