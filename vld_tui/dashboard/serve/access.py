"""Who may open a served dashboard: the address it is served on, and the token."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import secrets
import socket
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from engine.protocol import UserError

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
BACKLOG: Final = 64
_HOST_HEADER: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+))(?::[0-9]{1,5})?")


class AddressError(UserError):
    """An unusable address; the message gives the reason and what to do."""


def is_loopback(host: str) -> bool:
    """Return whether a host can be reached only from this machine."""
    address = _ip_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0: any free one.

    Raises:
        AddressError: when the host is unknown, or the port is taken or not allowed.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:  # unknown name, or unusable address
        raise AddressError(_reason(host, port, error)) from None


def url_of(listener: socket.socket, host: str) -> str:
    """Return the URL of a listening socket, without a path."""
    address = _ip_address(host)
    name = socket.gethostname() if address is not None and address.is_unspecified else host
    port = listener.getsockname()[1]
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def names_of(host: str) -> frozenset[str]:
    """Return the valid host names (lower case) of a server bound to ``host``."""
    own = {host.lower()} if is_loopback(host) else {host.lower(), socket.gethostname().lower()}
    return LOOPBACK_NAMES | own


def is_called_rightly(host_header: str, host: str) -> bool:
    """Return whether a Host header is valid for a server bound to ``host``, at any port.

    This detects DNS rebinding, where another site's name resolves to this server. The port may
    differ because of SSH tunnels.
    """
    matched = _HOST_HEADER.fullmatch(host_header)
    if matched is None:
        return False
    name = (matched[1] or matched[2]).lower()
    address = _ip_address(host)
    if address is not None and address.is_unspecified and _ip_address(name) is not None:
        return True  # bound to every address, and an IP address cannot be rebound
    return name in names_of(host)


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _reason(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"--host {host} is not an address of this machine: {error.strerror}."
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use. Choose another with --port, or use --port 0."
    if error.errno == errno.EACCES:
        return f"Port {port} of {host} needs root rights. Choose one above 1023 with --port."
    return f"Cannot listen on {host}, port {port}: {os.strerror(error.errno or 0).lower()}."


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
