"""Who may see the served dashboard: whoever has the token, calling it by its own name.

The token comes once, in the address that a person opens; it is answered with a cookie that holds
another secret and with a page that goes on to the dashboard, so that the token is left neither in
the address bar nor in a Referer header. A page of another origin, one on another port of this
machine included, can neither read the dashboard nor open its websocket.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from vld_tui.serve.address import is_called_rightly

TOKEN_BYTES: Final = 32
WELCOME: Final = """\
<!DOCTYPE html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=/">
<title>vld-tui</title>
<link rel="icon" href="data:,">
<a href="/">The dashboard</a>
"""
"""A redirect that begins at a page of ours: after a link from elsewhere, a browser keeps a
``SameSite=Strict`` cookie back from an HTTP redirect."""

WEBSOCKET_PATH: Final = "/ws"


def _new_secret() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True)
class Access:
    """The secrets of one server, and where it is bound."""

    host: str
    token: str = field(default_factory=_new_secret, repr=False)
    session: str = field(default_factory=_new_secret, repr=False)
    cookie: str = field(default_factory=lambda: f"vld_{secrets.token_hex(4)}")
    """Cookies do not tell ports apart, so every server names its own."""

    def refusal(self, request: web.Request) -> str | None:
        """Say why a request is not answered; None: it is."""
        if not is_called_rightly(request.headers.get("Host", ""), self.host):
            return "The dashboard is not served under this name."
        origin = request.headers.get("Origin")
        if origin is None and request.path == WEBSOCKET_PATH:
            return "Its own page alone opens the dashboard's websocket."
        if origin is not None and origin != f"http://{request.headers['Host']}":
            return "The dashboard is not for pages from elsewhere."
        is_allowed = self._has_token if "token" in request.query else self._is_known
        return None if is_allowed(request) else "Open the address that vld serve printed."

    def welcome(self) -> web.Response:
        """Return the answer to the token: a cookie instead, and on to the dashboard."""
        response = web.Response(
            text=WELCOME, content_type="text/html", headers={"Cache-Control": "no-store"}
        )
        response.set_cookie(self.cookie, self.session, path="/", httponly=True, samesite="Strict")
        return response

    def _has_token(self, request: web.Request) -> bool:
        return request.path == "/" and _are_equal(request.query["token"], self.token)

    def _is_known(self, request: web.Request) -> bool:
        return _are_equal(request.cookies.get(self.cookie, ""), self.session)


def guard(access: Access) -> Middleware:
    """Return the middleware that lets nothing through but what may be seen."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if reason := access.refusal(request):
            return web.Response(text=f"{reason}\n", status=web.HTTPForbidden.status_code)
        if "token" in request.query:
            return access.welcome()
        return await handler(request)

    return answer


def _are_equal(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode(errors="replace"), secret.encode())
