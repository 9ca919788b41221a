"""Records of the files in which W&B keeps a run, ``run-ID.wandb``.

A file is a log in LevelDB's format after a header of seven bytes: blocks of 32 KiB with parts of
records, each with its checksum, length and kind. The records are W&B's protocol buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from wandb.proto import wandb_internal_pb2

_HEADER: Final = 7
"""Bytes before a part, and before the first block's parts."""
_BLOCK: Final = 2**15
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_RECORD: Final[Any] = vars(wandb_internal_pb2)["Record"]  # made at run time
_SIGNATURE: Final = b":W&B"


def read_records(path: Path) -> Iterator[Any]:
    """Yield the records of a file, up to its end or to an incomplete record there.

    Raises:
        OSError: when it cannot be read.
    """
    for data in _records(path.read_bytes()):
        record = _RECORD()
        record.ParseFromString(data)
        yield record


def _records(content: bytes) -> Iterator[bytes]:
    if not content.startswith(_SIGNATURE):
        return
    at, parts = _HEADER, b""
    while True:
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:  # the rest of a block is padding
            at += left
            continue
        if at + _HEADER > len(content):
            return
        _, length, kind = struct.unpack_from("<IHB", content, at)
        data = content[at + _HEADER : at + _HEADER + length]
        if len(data) < length or kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST):
            return
        at += _HEADER + length
        parts = data if kind in (_WHOLE, _FIRST) else parts + data
        if kind in (_WHOLE, _LAST):
            yield parts
