"""The address a dashboard is served on: its socket, its URL and its valid host names.

Without aiohttp, an extra: ``vld serve`` reports whether that is installed.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from typing import Final

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
