"""Requests larger than any page makes are refused, and take no memory."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import psutil
import pytest

from tests.vld_tui.serve.conftest import UPGRADE, Served, wait_until

MIB = 2**20
SPARE_BYTES = 48 * MIB
"""What a server may need more than before, whatever was sent."""
TOO_BIG, REFUSED = 1009, 1008
"""Codes a websocket is closed with."""


def memory_bytes(served: Served) -> int:
    """Return what the server holds in memory."""
    return int(psutil.Process(served.process.pid).memory_info().rss)


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
        connection = served.connect(
            "/ws?width=100&height=30",
            Cookie=served.cookie(),
            Origin=f"http://127.0.0.1:{served.port}",
            **UPGRADE,
            **headers,
        )
        response = connection.getresponse()
        assert response.status == http.client.SWITCHING_PROTOCOLS
        assert bool(headers) == ("Sec-WebSocket-Extensions" in response.headers)
        return cls(connection, response.fp)

    def close_code(self, sent: bytes) -> int | None:
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
        self.connection.close()


@pytest.fixture
def window(served: Served) -> Iterator[Window]:
    """Open a window, and see it end."""
    window = Window.open(served)
    yield window
    window.close()
    wait_until(lambda: not served.dashboards())


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Large": "x" * MIB},
        {"Cookie": "vld=" + "x" * MIB},
        {f"X_{number}": "x" * 1000 for number in range(1000)},
    ],
    ids=["one", "cookie", "many"],
)
def test_large_headers_are_refused(served: Served, headers: dict[str, str]) -> None:
    before = memory_bytes(served)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # before all of it was sent
        assert served.ask("/", **headers).status in (400, 431)
    assert memory_bytes(served) < before + SPARE_BYTES
    assert served.ask("/", Cookie=served.cookie()).status == 200


def test_a_long_address_is_refused(served: Served) -> None:
    assert served.ask(f"/?token={'x' * MIB}").status in (400, 414)


@pytest.mark.parametrize("knows", [False, True], ids=["stranger", "person"])
def test_a_body_is_not_kept(served: Served, knows: bool) -> None:
    before = memory_bytes(served)
    headers = {"Content_Length": str(1024 * MIB), "Cookie": served.cookie() if knows else ""}
    connection = served.connect("/", **headers)
    assert connection.getresponse().status == (200 if knows else 403)
    connection.sock.settimeout(0.5)
    with contextlib.suppress(OSError):  # it no longer listens
        for _ in range(256):
            connection.sock.sendall(bytes(MIB))
    assert memory_bytes(served) < before + SPARE_BYTES
    connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        lambda: frame(b"[" + b" " * (5 * MIB)),
        lambda: frame(b"", claims=2**40),
        lambda: b"".join(frame(bytes(MIB), first=0x01 if not n else 0x00) for n in range(6)),
    ],
    ids=["whole", "claimed", "in-parts"],
)
def test_a_large_message_closes_the_window(
    served: Served, window: Window, sent: Callable[[], bytes]
) -> None:
    before = memory_bytes(served)
    assert window.close_code(sent()) in (TOO_BIG, None)
    assert memory_bytes(served) < before + SPARE_BYTES


def test_what_grows_when_it_is_unpacked_closes_the_window(served: Served) -> None:
    window = Window.open(served, Sec_WebSocket_Extensions="permessage-deflate")
    before = memory_bytes(served)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(bytes(512 * MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)
    whole = frame(packed.removesuffix(b"\0\0\xff\xff"), first=0xC1)
    assert window.close_code(whole) in (TOO_BIG, None)
    assert memory_bytes(served) < before + SPARE_BYTES
    window.close()
    wait_until(lambda: not served.dashboards())


@pytest.mark.parametrize("size", ["width=2001&height=30", "width=80&height=999999999", "width=0"])
def test_a_window_larger_than_any_screen_is_not_opened(served: Served, size: str) -> None:
    answer = served.ask(
        f"/ws?{size}", Cookie=served.cookie(), Origin=f"http://127.0.0.1:{served.port}", **UPGRADE
    )
    assert answer.status == 400
    assert "1 to 2,000" in answer.body
    assert not served.dashboards()


def test_a_window_grows_to_the_largest_screen_only(served: Served, window: Window) -> None:
    def say(*message: object) -> None:
        window.connection.sock.sendall(frame(json.dumps(message).encode()))

    say("resize", {"width": 10**9, "height": -5})
    say("resize", {"width": 100, "height": 30})
    say("ping", "there?")
    while json.dumps(["pong", "there?"]).encode() not in window.read():
        pass
    (dashboard,) = served.dashboards()
    assert dashboard.is_running()
    assert dashboard.memory_info().rss < 512 * MIB


@pytest.mark.parametrize(
    "text",
    [b"{", b"[]", b'["resize", {"width": "x", "height": 1}]', b"[" * 100_000],
    ids=["cut", "empty", "words", "deep"],
)
def test_what_no_page_says_closes_the_window_and_nothing_else(
    served: Served, window: Window, text: bytes
) -> None:
    assert window.close_code(frame(text)) == REFUSED
    assert served.ask("/", Cookie=served.cookie()).status == 200
