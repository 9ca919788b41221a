"""Text of errors, without the secrets that libraries put into it."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"
_IN_ADDRESS: Final = re.compile(r"(?<=://)[^\s/@'\"]+(?=@)")
"""User and password in an address such as that of a proxy."""
_TOKEN: Final = re.compile(r"\bhf_[A-Za-z0-9]{8,}|(?<=\bBearer )[A-Za-z0-9._~+/=-]+")


def without_secrets(text: str) -> str:
    """Return text with passwords in addresses, and tokens of the Hugging Face hub, hidden."""
    return _TOKEN.sub(HIDDEN, _IN_ADDRESS.sub(HIDDEN, text))
