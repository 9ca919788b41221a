"""The address of a webhook, which may refer to environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from engine.protocol import UserError

_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_SCHEMES: Final = ("http", "https")


class WebhookError(UserError):
    """An address to which nothing can be posted; the message says why."""


def variables_in(url: str) -> tuple[str, ...]:
    """Return the environment variables that an address refers to."""
    return tuple(dict.fromkeys(one or other for one, other in _VARIABLE.findall(url)))


def without_variables(url: str) -> str:
    """Return an address with ``1`` for each of its variables, to check the rest of it."""
    return _VARIABLE.sub("1", url)


def missing_variables(url: str | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables of an address that are not set."""
    return tuple(name for name in variables_in(url or "") if not environment.get(name))


def resolved(url: str, environment: Mapping[str, str]) -> str:
    """Return an address with the values of its variables.

    Raises:
        WebhookError: when one is not set, or the result is no address.
    """
    if missing := missing_variables(url, environment):
        raise WebhookError(f"{missing[0]} is not set in this environment")
    address = _VARIABLE.sub(lambda found: environment[found[1] or found[2]].strip(), url)
    check_address(address, "the address" if variables_in(url) else repr(address))
    return address


def check_address(address: str, shown: str) -> None:
    """Check that something can be posted to an address.

    Raises:
        WebhookError: when it is none; it is called ``shown``.
    """
    try:
        parts = urlsplit(address)
        is_valid = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"[\s\x00-\x1f\x7f]", address):
        raise WebhookError(f"{shown} is not a URL that starts with http:// or https://")


def shown_address(address: str) -> str:
    """Return an address without what may be secret: its scheme and host."""
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"
