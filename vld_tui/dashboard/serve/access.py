"""Who may use the served dashboard: whoever has the token, calling it by its own name.

The token stands in the fragment of the address that is opened, after ``#``, which no browser sends.
The page takes it out of the address bar, keeps it in the window's session storage, and says it as
the first message through its websocket. A page of another origin, one on another port of this
machine included, cannot read that storage, and there is no cookie, which it would be sent as well.
"""

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
"""What the page is made of: nothing of the home."""


@dataclass(frozen=True)
class Access:
    """The secret of one server, and where it is bound."""

    host: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES), repr=False)

    def refusal(self, request: web.Request) -> str | None:
        """Say why a request is not answered; None: it is."""
        if not is_called_rightly(request.headers.get("Host", ""), self.host):
            return "The dashboard is not served under this name."
        origin = request.headers.get("Origin")
        if origin is None and request.path == WEBSOCKET_PATH:
            return "Its own page alone opens the dashboard's websocket."
        if origin is not None and origin != f"http://{request.headers['Host']}":
            return "The dashboard is not for pages from elsewhere."
        is_known = request.path in ("/", WEBSOCKET_PATH) or request.path.startswith(_PUBLIC)
        if not is_known or "token" in request.query:
            return "Open the address that vld serve printed."
        return None

    def accepts(self, message: object) -> bool:
        """Say whether a window's first message holds the token."""
        match message:
            case ["token", str(given)]:
                return secrets.compare_digest(given.encode(errors="replace"), self.token.encode())
        return False


def guard(access: Access) -> Middleware:
    """Return the middleware that lets nothing through but what may be seen."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if reason := access.refusal(request):
            return web.Response(text=f"{reason}\n", status=web.HTTPForbidden.status_code)
        return await handler(request)

    return answer
