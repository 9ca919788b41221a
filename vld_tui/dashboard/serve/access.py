"""Who may open a served dashboard: the token, and the host names it may be opened by."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from vld_tui.dashboard.serve.address import is_called_rightly

TOKEN_BYTES: Final = 32
WEBSOCKET_PATH: Final = "/ws"
_PUBLIC: Final = ("/static/", "/page/")
"""Static files of the page, without data of the home."""


@dataclass(frozen=True)
class Access:
    """The secret of one server, and its bound address."""

    host: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES), repr=False)

    def refusal(self, request: web.Request) -> str | None:
        """Return why a request is rejected, or None if it is accepted."""
        if not is_called_rightly(request.headers.get("Host", ""), self.host):
            return "The dashboard is not served under this host name."
        origin = request.headers.get("Origin")
        if origin is None and request.path == WEBSOCKET_PATH:
            return "Only the dashboard's own page may open its websocket."
        if origin is not None and origin != f"http://{request.headers['Host']}":
            return "Requests from other pages are not allowed."
        is_known = request.path in ("/", WEBSOCKET_PATH) or request.path.startswith(_PUBLIC)
        if not is_known or "token" in request.query:
            return "Open the address that vld serve printed."
        return None

    def accepts(self, message: object) -> bool:
        """Return whether a window's first message holds the token."""
        match message:
            case ["token", str(given)]:
                return secrets.compare_digest(given.encode(errors="replace"), self.token.encode())
        return False


def guard(access: Access) -> Middleware:
    """Return the middleware that rejects requests without access."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if reason := access.refusal(request):
            return web.Response(text=f"{reason}\n", status=web.HTTPForbidden.status_code)
        return await handler(request)

    return answer
