"""Recognize secrets in text that would be stored or shown, and hide them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SHORTEST_SECRET: Final = 8
_SHORTEST_HIDDEN: Final = 4
"""Characters of a value that is hidden: shorter ones are parts of ordinary words."""
_SECRET_NAME: Final = re.compile(
    r"(?i)(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|KEY|PAT)$"
)
_SECRET_VALUE: Final = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[oprsu]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}"
    r"|tk_[a-z0-9]{24,}|eyJ[\w-]{10,}\.[\w-]{10,}\.)|://[^\s/@'\":]+:[^\s/@'\"]+@"
)
"""Tokens of well-known services, and passwords in addresses."""
_SECRET_ADDRESS: Final = re.compile(
    r"(?i)\bhooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[^\s$'\"]+"
    r"|\bdiscord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/[\w-]+"
    r"|\bapi\.telegram\.org/bot\d+:[\w-]+|\boutlook\.office(?:365)?\.com/webhook/[^\s$'\"]+"
    r"|\.webhook\.office\.com/[^\s$'\"]+|\bchat\.googleapis\.com/[^\s'\"]*[?&]key=[^\s$'\"&]+"
    r"|/hooks/(?:[a-z0-9]{20,}|\w{12,}/\w{20,})|[?&](?:auth|sig|signature|token)=[^\s$'\"&]{8,}"
    r"|\bAuthorization:\s*\w+\s+[^\s$'\"]{8,}|\bBearer\s+[^\s$'\"]{8,}"
)
"""Webhooks whose address is the secret, and authorization headers."""
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(\"[^\"]*\"|'[^']*'|[^\s,;&]*)")
HIDDEN: Final = "•••"


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable with this value looks like a secret."""
    value = value.strip("\"'")
    is_place = value.startswith(("/", "~", "$"))
    if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET and not is_place:
        return True
    return _SECRET_VALUE.search(value) is not None


def secret_in(text: str) -> str | None:
    """Return the name under which a text holds a secret, or None."""
    for name, value in _ASSIGNMENT.findall(text):
        if is_secret(name, value):
            return str(name)
    return "SECRET" if _SECRET_VALUE.search(text) else None


def secret_address_in(text: str) -> bool:
    """Return whether a text contains a webhook whose address is secret, or a credential."""
    return secret_in(text) is not None or _SECRET_ADDRESS.search(text) is not None


def without_secrets_of(environment: Mapping[str, str], text: str, *names: str) -> str:
    """Return a text with values of secret variables, and of those named, replaced.

    Tokens of known shapes are replaced too.
    """
    values = {
        value
        for name, value in environment.items()
        if len(value) >= _SHORTEST_HIDDEN and (name in names or is_secret(name, value))
    }
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return _SECRET_ADDRESS.sub(HIDDEN, _SECRET_VALUE.sub(HIDDEN, text))
