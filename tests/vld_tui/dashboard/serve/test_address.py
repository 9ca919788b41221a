"""Where the dashboard is served: how that is written, and by which names it may be called."""

from __future__ import annotations

import socket

import pytest

from vld_tui.dashboard.serve.address import is_called_rightly, is_loopback, listen, url_of


@pytest.mark.parametrize(
    ("host", "is_ours_alone"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.0.2.1", False),
        ("localhost.elsewhere.example", False),
    ],
)
def test_what_this_machine_alone_can_reach(host: str, is_ours_alone: bool) -> None:
    assert is_loopback(host) is is_ours_alone


def test_the_address_as_a_browser_wants_it() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener, "127.0.0.1") == f"http://127.0.0.1:{port}"
        assert url_of(listener, "::1") == f"http://[::1]:{port}"
        assert url_of(listener, "0.0.0.0") == f"http://{socket.gethostname()}:{port}"


@pytest.mark.parametrize(
    ("header", "host", "is_right"),
    [
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST:8000", "127.0.0.1", True),
        ("[::1]:8000", "localhost", True),
        ("127.0.0.2:8000", "127.0.0.2", True),
        ("127.0.0.2:8000", "127.0.0.1", False),
        ("localhost@elsewhere.example", "127.0.0.1", False),
        ("localhost:80:80", "127.0.0.1", False),
        ("localhost/", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("192.0.2.1:8000", "192.0.2.1", True),
        ("192.0.2.2:8000", "192.0.2.1", False),
        ("192.0.2.7:8000", "0.0.0.0", True),
        ("[2001:db8::1]:8000", "::", True),
        ("elsewhere.example:8000", "0.0.0.0", False),
    ],
)
def test_names_by_where_it_is_bound(header: str, host: str, is_right: bool) -> None:
    assert is_called_rightly(header, host) is is_right
