"""Where the dashboard is served: the socket, and the names it may be called by."""

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
    """An address that cannot be served at; the message says why and what to do."""


def is_loopback(host: str) -> bool:
    """Say whether a host can be reached from this machine alone."""
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
    except OSError as error:  # the name is not known, or the address is not to be had
        raise AddressError(_reason(host, port, error)) from None


def url_of(listener: socket.socket, host: str) -> str:
    """Return the address of what listens as a browser wants it, without a path."""
    address = _ip_address(host)
    name = socket.gethostname() if address is not None and address.is_unspecified else host
    port = listener.getsockname()[1]
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def names_of(host: str) -> frozenset[str]:
    """Return the names, lower case, that what is bound to a host may be called by."""
    own = {host.lower()} if is_loopback(host) else {host.lower(), socket.gethostname().lower()}
    return LOOPBACK_NAMES | own


def is_called_rightly(host_header: str, host: str) -> bool:
    """Say whether a Host header names what is bound to ``host``, at whatever port.

    A page elsewhere whose name was made to lead here (DNS rebinding) gives that name away. The
    port may differ: an SSH tunnel can begin at another one.
    """
    matched = _HOST_HEADER.fullmatch(host_header)
    if matched is None:
        return False
    name = (matched[1] or matched[2]).lower()
    address = _ip_address(host)
    if address is not None and address.is_unspecified and _ip_address(name) is not None:
        return True  # bound to every address, and a number cannot be made to lead elsewhere
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
        return f"Port {port} of {host} is taken: choose another with --port, or --port 0."
    if error.errno == errno.EACCES:
        return f"Port {port} of {host} is not allowed: choose one above 1023 with --port."
    return f"{host}, port {port}, cannot be served at: {os.strerror(error.errno or 0).lower()}."
