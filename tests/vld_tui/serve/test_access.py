"""Nobody sees the served dashboard but who has its token and calls it by its own name."""

from __future__ import annotations

import pytest

from tests.vld_tui.serve.conftest import UPGRADE, Served, wait_until

PATHS = ("/", "/ws", "/static/js/textual.js", "/page/page.css", "/download/key", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_the_token(served: Served, path: str) -> None:
    own = f"http://127.0.0.1:{served.port}"
    for cookie in ("", "vld=x", f"{served.cookie().partition('=')[0]}={served.token}"):
        answer = served.ask(path, Cookie=cookie, Origin=own)
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("wrong", ["", "x", "%C3%A9", "%FF%00"])
def test_a_wrong_token_is_refused_even_with_the_cookie(served: Served, wrong: str) -> None:
    for token in (wrong, served.token + wrong if wrong else served.token[:-1]):
        answer = served.ask(f"/?token={token}", Cookie=served.cookie())
        assert (answer.status, answer.headers["Set-Cookie"]) == (403, None)


def test_the_token_is_exchanged_for_a_cookie(served: Served) -> None:
    welcome = served.ask(f"/?token={served.token}")
    assert welcome.status == 200
    set_cookie = welcome.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(set_cookie.split("; "))
    assert served.token not in set_cookie + welcome.body
    assert welcome.headers["Cache-Control"] == "no-store"
    assert welcome.headers["Referrer-Policy"] == "no-referrer"
    cookie = set_cookie.partition(";")[0]
    page = served.ask("/", Cookie=cookie)
    assert page.status == 200
    assert f'"ws://127.0.0.1:{served.port}/ws"' in page.body
    assert "https:" not in page.body  # nothing from elsewhere: it works offline
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for path in ("/static/js/textual.js", "/page/page.css", "/page/focus.js"):
        assert served.ask(path, Cookie=cookie).status == 200


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "0.0.0.0"])
def test_another_name_is_refused(served: Served, host: str) -> None:
    for name in (host, f"{host}:{served.port}"):
        answer = served.ask(f"/?token={served.token}", Host=name, Cookie=served.cookie())
        assert (answer.status, answer.headers["Set-Cookie"]) == (403, None)


def test_another_name_for_this_machine_will_do(served: Served) -> None:
    tunnelled = served.ask("/", Host="localhost:9999", Cookie=served.cookie())
    assert '"ws://localhost:9999/ws"' in tunnelled.body


@pytest.mark.parametrize(
    "origin",
    [
        "http://elsewhere.example",
        "http://127.0.0.1:1",  # another server on this machine, to which cookies go as well
        "http://localhost:{port}",
        "https://127.0.0.1:{port}",
        "null",
        "",
    ],
)
def test_a_page_from_elsewhere_opens_no_websocket(served: Served, origin: str) -> None:
    given = {"Origin": origin.format(port=served.port)} if origin else {}
    answer = served.ask("/ws", Cookie=served.cookie(), **given, **UPGRADE)
    assert answer.status == 403
    assert not served.dashboards()


def test_a_page_from_elsewhere_reads_nothing(served: Served) -> None:
    answer = served.ask("/", Cookie=served.cookie(), Origin="http://elsewhere.example")
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_its_own_page_opens_the_websocket(served: Served) -> None:
    window = served.open_window()
    assert len(served.dashboards()) == 1
    window.close()
    wait_until(lambda: not served.dashboards())
