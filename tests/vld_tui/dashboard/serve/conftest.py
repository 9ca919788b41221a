"""``vld serve`` in a process of its own, on a home with one finished run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from engine.protocol import resolve_spec
from tests.small_runs import engine_environment
from tests.vld_tui.store.told_runs import Teller, evaluated, finished, started, steps_taken
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30.0
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@dataclass(frozen=True)
class Answer:
    """What the server said to one request."""

    status: int
    headers: http.client.HTTPMessage
    body: str


@dataclass(frozen=True)
class Served:
    """A server that runs, and the address that it printed."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        port = urlsplit(self.address).port
        assert port is not None
        return port

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.address).fragment)["token"][0]

    def ask(self, path: str, **headers: str) -> Answer:
        """Send a request with these headers; underscores stand for hyphens."""
        connection = self.connect(path, **headers)
        response = connection.getresponse()
        is_page = response.status != http.client.SWITCHING_PROTOCOLS
        answer = Answer(
            response.status, response.headers, response.read().decode() if is_page else ""
        )
        connection.close()
        return answer

    def connect(self, path: str, **headers: str) -> http.client.HTTPConnection:
        """Send a request and return the connection that it is answered on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.putrequest("GET", path, skip_host=True)
        for name, value in ({"Host": f"127.0.0.1:{self.port}"} | headers).items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return connection

    def open_window(self) -> Window:
        """Open a websocket as the page does; a dashboard is drawn, and runs until it is closed."""
        window = Window.open(self)
        window.say("token", self.token)
        assert window.connection.sock.recv(1)
        return window

    def dashboards(self) -> list[psutil.Process]:
        """Return the processes of the open windows."""
        return psutil.Process(self.process.pid).children(recursive=True)


def frame(payload: bytes, *, claims: int | None = None, first: int = 0x81) -> bytes:
    """Return a websocket frame as a browser sends it, by default a whole text."""
    size = len(payload) if claims is None else claims
    mask = os.urandom(4)
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return struct.pack("!BBQ", first, 0xFF, size) + mask + masked.to_bytes(len(payload), "big")


@dataclass(frozen=True)
class Window:
    """A websocket of the dashboard, and what the server says through it."""

    connection: http.client.HTTPConnection
    stream: IO[bytes]

    @classmethod
    def open(cls, served: Served, **headers: str) -> Window:
        """Open one, and say nothing yet."""
        connection = served.connect(
            "/ws?width=100&height=30",
            Origin=f"http://127.0.0.1:{served.port}",
            **UPGRADE,
            **headers,
        )
        response = connection.getresponse()
        assert response.status == http.client.SWITCHING_PROTOCOLS
        assert bool(headers) == ("Sec-WebSocket-Extensions" in response.headers)
        return cls(connection, response.fp)

    def say(self, *message: object) -> None:
        """Send a message as the page does."""
        self.connection.sock.sendall(frame(json.dumps(message).encode()))

    def pong(self) -> None:
        """Send the sign of life without which the server closes a window after a while."""
        self.connection.sock.sendall(b"\x8a\x80" + bytes(4))  # of no content, masked

    def close_code(self, sent: bytes = b"") -> int | None:
        """Send and read until the websocket is closed; return why it was.

        None: the server let go before it read all, and what it said is lost.
        """
        with contextlib.suppress(ConnectionError):
            self.connection.sock.sendall(sent)
            while True:
                first, content = self.read()
                if first == 0x88:
                    return int.from_bytes(content[:2], "big")
        return None

    def read(self) -> tuple[int, bytes]:
        """Return the first byte and the content of the next frame."""
        first, size = self.stream.read(2)
        if size >= 126:
            size = int.from_bytes(self.stream.read(2 if size == 126 else 8), "big")
        return first, self.stream.read(size)

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()
        self.stream.close()


Serve = Callable[..., Served]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = open_home(tmp_path_factory.mktemp("served") / "home")
    with Store.open(home) as store:
        run = store.runs.create(resolve_spec({}), name="shown-in-a-browser")
        Teller(home.run_dir(run.run_id)).says(
            started(),
            steps_taken(10, 1.5),
            *evaluated(10, id_accuracy=0.75, ood_accuracy=0.5),
            finished(10, selected_step=10, id_accuracy=0.75, ood_accuracy=0.5),
        )
        store.live.refresh()
    return home


@pytest.fixture(scope="module")
def serve(home: Home) -> Iterator[Serve]:
    """Return a function that starts servers; at the end none is left, nor a child of one."""
    servers: list[Served] = []

    def start(*options: str) -> Served:
        process = subprocess.Popen(
            [sys.executable, "-m", "vld_tui.cli", "serve", "--port", "0", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=engine_environment() | {"VLD_HOME": str(home.path)},
        )
        assert process.stdout is not None
        served = Served(process, process.stdout.readline().split()[-1])
        servers.append(served)
        return served

    yield start
    for served in servers:
        if served.process.poll() is None:
            served.process.send_signal(signal.SIGINT)
        served.process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def served(serve: Serve) -> Served:
    return serve()
