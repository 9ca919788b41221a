"""Post an event to a webhook, within a time limit."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from vld_tui.config import WebhookFormat
from vld_tui.launch.notify.address import WebhookError, resolved, shown_address, variables_in
from vld_tui.launch.notify.command import Sent
from vld_tui.launch.notify.message import Message, Post, format_of, post_of
from vld_tui.words.secrets import without_secrets_of
from vld_tui.words.text import plain_text, shorten

PAUSES_S: Final = (2.0, 10.0)
"""Waits before another try, if the service was not reached or asked for it."""
_TRY_LATER: Final = (429, 502, 503, 504)
_LONGEST_PAUSE_S: Final = 60.0
_MOST_READ: Final = 4_096
_MOST_SHOWN: Final = 200


class _NotReached(Exception):  # noqa: N818 - what it says
    """The service did not take the message; ``pause_s``: when it asks to try again."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the message would be dropped, or its secrets sent elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def post(
    url: str,
    form: WebhookFormat,
    message: Message,
    *,
    timeout_s: float,
    environment: Mapping[str, str],
    pauses_s: tuple[float, ...] = PAUSES_S,
) -> Sent:
    """Post a message to a webhook, again if the service was not reached.

    ``url`` may contain variables. Nothing secret is in the result.
    """
    started = time.monotonic()
    how, problem = "", ""
    for pause_s in (*pauses_s, None):
        try:
            address = resolved(url, environment)
            how = _post_once(address, post_of(message, format_of(address, form)), timeout_s)
        except WebhookError as error:
            problem = str(error)
        except _NotReached as error:
            problem = str(error)
            if pause_s is not None:
                time.sleep(min(error.pause_s or pause_s, _LONGEST_PAUSE_S))
                continue
        break
    wall_s = time.monotonic() - started
    if how:
        return Sent(how, wall_s)
    hidden = without_secrets_of(environment, problem, *variables_in(url))
    return Sent("failed", wall_s, shorten(plain_text(hidden), _MOST_SHOWN))


def _post_once(address: str, content: Post, timeout_s: float) -> str:
    """Return the answer of the service, read by a thread: name servers have no time limit.

    Raises:
        _NotReached: when it did not take the message.
        WebhookError: when it refused it, or did not answer in time.
    """
    outcome: list[str | Exception] = []

    def work() -> None:
        try:
            outcome.append(_answer(address, content, timeout_s))
        except Exception as error:  # noqa: BLE001 - the edge of the thread: raised again below
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not outcome:
        raise WebhookError(f"no answer from {shown_address(address)} within {timeout_s:g} s")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _answer(address: str, content: Post, timeout_s: float) -> str:
    opener = urllib.request.build_opener(_NoRedirect)
    where = shown_address(address)
    try:
        with opener.open(_request(address, content), timeout=timeout_s) as response:
            return f"HTTP {response.status}"
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error, where) from None
    except TimeoutError:
        raise WebhookError(f"no answer from {where} within {timeout_s:g} s") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise WebhookError(f"no connection to {where} within {timeout_s:g} s") from None
        raise _NotReached(f"cannot reach {where}: {_reason(error.reason)}") from None
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise WebhookError(f"no valid answer from {where}: {type(error).__name__}") from None


def _request(address: str, content: Post) -> urllib.request.Request:
    """Return the request; a user and password in the address become a header."""
    parts = urlsplit(address)
    headers = {"User-Agent": "vld-tui", **content.headers}
    if parts.username is not None or parts.password is not None:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    host = parts.netloc.rpartition("@")[2]
    if not host.isascii():
        port = f":{parts.port}" if parts.port else ""
        host = (parts.hostname or "").encode("idna").decode() + port
    path = quote(parts.path, safe="/%:@!$&'()*+,;=-._~")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=-._~?")
    target = urlunsplit((parts.scheme, host, path, query, ""))
    return urllib.request.Request(target, content.body, headers, method="POST")


def _refusal(error: urllib.error.HTTPError, where: str) -> Exception:
    if 300 <= error.code < 400:
        return WebhookError(f"{where} redirects (HTTP {error.code}); set the final URL")
    try:
        body = error.read(_MOST_READ).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException, ValueError):
        body = ""
    said = f": {body.splitlines()[0]}" if body else ""
    problem = f"{where} answered HTTP {error.code}{said}"
    if error.code not in _TRY_LATER:
        return WebhookError(problem)
    pause = error.headers.get("Retry-After", "")
    return _NotReached(problem, float(pause) if pause.isdecimal() else None)


def _reason(reason: str | BaseException) -> str:
    if isinstance(reason, socket.gaierror):
        return "unknown host"
    return (isinstance(reason, OSError) and reason.strerror) or str(reason)
