"""Requests larger than any page makes are refused, and take no memory."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.vld_tui.dashboard.serve.conftest import UPGRADE, Served, Window, frame
from tests.waiting import wait_until

MIB = 2**20
SPARE_BYTES = 48 * MIB
"""What a server may need more than before, whatever was sent."""
TOO_BIG, REFUSED = 1009, 1008
"""Codes a websocket is closed with."""


def memory_bytes(served: Served) -> int:
    """Return what the server holds in memory."""
    return int(psutil.Process(served.process.pid).memory_info().rss)


@pytest.fixture
def window(served: Served) -> Iterator[Window]:
    """Open a window, and see it end."""
    window = Window.open(served)
    window.say("token", served.token)
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
    assert served.ask("/").status == 200


def test_a_long_address_is_refused(served: Served) -> None:
    assert served.ask(f"/?token={'x' * MIB}").status in (400, 414)


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/?token=x", 403)])
def test_a_body_is_not_kept(served: Served, path: str, status: int) -> None:
    before = memory_bytes(served)
    connection = served.connect(path, Content_Length=str(1024 * MIB))
    assert connection.getresponse().status == status
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
    window.say("token", served.token)
    before = memory_bytes(served)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(bytes(512 * MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)
    whole = frame(packed.removesuffix(b"\0\0\xff\xff"), first=0xC1)
    assert window.close_code(whole) in (TOO_BIG, None)
    assert memory_bytes(served) < before + SPARE_BYTES
    window.close()
    wait_until(lambda: not served.dashboards())


@pytest.mark.parametrize(
    "size",
    ["width=2001&height=30", "width=80&height=999999999", "width=0", "width=2000&height=2000"],
)
def test_a_window_larger_than_any_screen_is_not_opened(served: Served, size: str) -> None:
    answer = served.ask(f"/ws?{size}", Origin=f"http://127.0.0.1:{served.port}", **UPGRADE)
    assert answer.status == 400
    assert "1 to 2,000" in answer.body
    assert not served.dashboards()


def test_a_window_grows_to_the_largest_screen_only(served: Served, window: Window) -> None:
    window.say("resize", {"width": 10**9, "height": -5})
    window.say("resize", {"width": 10**9, "height": 10**9})
    window.say("resize", {"width": 100, "height": 30})
    window.say("ping", "there?")
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
    assert served.ask("/").status == 200
