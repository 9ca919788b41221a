"""Nobody uses the served dashboard but who has its token and calls it by its own name."""

from __future__ import annotations

import json

import pytest

from tests.vld_tui.dashboard.serve.conftest import UPGRADE, Serve, Served, Window, frame
from tests.waiting import wait_until
from vld_tui.dashboard.serve.server import MOST_WINDOWS

REFUSED = 1008
"""Code a websocket is closed with."""


def test_the_token_stands_where_no_browser_sends_it(served: Served) -> None:
    address, _, fragment = served.address.partition("#")
    assert address == f"http://127.0.0.1:{served.port}/"
    assert fragment == f"token={served.token}"
    assert len(served.token) >= 32


def test_the_page_holds_nothing_of_the_home_and_sets_no_cookie(served: Served) -> None:
    page = served.ask("/")
    assert page.status == 200
    assert f'"ws://127.0.0.1:{served.port}/ws"' in page.body
    assert "https:" not in page.body  # nothing from elsewhere: it works offline
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    parts = ("/static/js/textual.js", "/page/page.css", "/page/focus.js", "/page/key.js")
    for answer in [page, *map(served.ask, parts)]:
        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers
        assert served.token not in answer.body
        assert "shown-in-a-browser" not in answer.body


@pytest.mark.parametrize("path", ["/download/key", "/nowhere", "//", "/%2e%2e/", "/?token=x"])
def test_there_is_nothing_else(served: Served, path: str) -> None:
    assert served.ask(path).status in (403, 404)
    assert served.ask(f"/?token={served.token}").status == 403  # it would stay in a history


@pytest.mark.parametrize(
    "first",
    [
        ["token", ""], ["token", "x"], ["token", None], ["token"], ["stdin", "q"], [], {}, "x",
        ["token", "\u00e9\ud800"],
    ],
    ids=repr,
)  # fmt: skip
def test_a_window_that_does_not_say_the_token_first_is_closed(
    served: Served, first: object
) -> None:
    window = Window.open(served)
    window.connection.sock.sendall(frame(json.dumps(first).encode()))
    assert window.close_code() == REFUSED
    window.close()
    assert not served.dashboards()


def test_half_a_token_is_none(served: Served) -> None:
    for token in (served.token[:-1], f"{served.token}x"):
        window = Window.open(served)
        window.say("token", token)
        assert window.close_code() == REFUSED
        window.close()
    window.close()
    assert not served.dashboards()


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "0.0.0.0"])
def test_another_name_is_refused(served: Served, host: str) -> None:
    for name in (host, f"{host}:{served.port}"):
        assert served.ask("/", Host=name).status == 403


def test_another_name_for_this_machine_will_do(served: Served) -> None:
    assert '"ws://localhost:9999/ws"' in served.ask("/", Host="localhost:9999").body


@pytest.mark.parametrize(
    "origin",
    [
        "http://elsewhere.example",
        "http://127.0.0.1:1",  # another server on this machine
        "http://localhost:{port}",
        "https://127.0.0.1:{port}",
        "null",
        "",
    ],
)
def test_a_page_from_elsewhere_opens_no_websocket(served: Served, origin: str) -> None:
    given = {"Origin": origin.format(port=served.port)} if origin else {}
    assert served.ask("/ws", **given, **UPGRADE).status == 403
    assert not served.dashboards()


def test_a_page_from_elsewhere_reads_nothing(served: Served) -> None:
    answer = served.ask("/", Origin="http://elsewhere.example")
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_its_own_page_opens_windows_again_and_again(served: Served) -> None:
    for _ in range(2):
        window = served.open_window()
        assert len(served.dashboards()) == 1
        window.close()
        wait_until(lambda: not served.dashboards())


@pytest.mark.slow
def test_windows_are_bounded_in_number(serve: Serve) -> None:
    served = serve()
    windows: list[Window] = []
    for _ in range(MOST_WINDOWS):
        windows.append(served.open_window())
        for window in windows:
            window.pong()
    spare = Window.open(served)
    spare.say("token", served.token)
    assert spare.close_code() == REFUSED
    assert len(served.dashboards()) == MOST_WINDOWS
    for window in (*windows, spare):
        window.close()
