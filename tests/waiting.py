"""Wait for what other processes or threads bring about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 60.0
POLL_S: Final = 0.02


def wait_until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Return as soon as a condition holds; fail after ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {timeout_s:g} s"
        time.sleep(POLL_S)
