"""Requests to ``python -m engine.fork_server``, over a socket of packets.

A request carries four descriptors: standard input, output and error of the new process, and a
socket from which it reads one byte before it begins. The server answers with the process's id.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

LARGEST_REQUEST: Final = 2**20
"""Bytes."""
SERVER_READY: Final = b"ready"
GO: Final = b"g"
PROCESS_ID: Final = struct.Struct("<I")


class ForkRequest(msgspec.Struct, frozen=True):
    """A process to fork, equal to ``python -m WORDS``.

    ``folder``: its working directory; None: the server's. ``is_leader``: of its own session.
    """

    words: tuple[bytes, ...]
    environment: dict[bytes, bytes]
    folder: str | None = None
    is_leader: bool = True
