"""What an engine process that works on a request reports, as JSON lines.

``python -m engine.PACKAGE REQUEST`` takes one request as JSON and writes JSON lines to stdout: any
number of :class:`WorkProgress`, :class:`WorkNote` and :class:`WorkRows`, then :class:`WorkDone`, or
:class:`WorkRefused` with exit code 2.
"""

from __future__ import annotations

from typing import Final

import msgspec

ON_STDIN: Final = "-"
"""In place of the request: it is on stdin, because command lines have a maximum length."""


class WorkProgress(msgspec.Struct, frozen=True, tag="progress"):
    """Progress of a task; ``total`` is None if unknown."""

    what: str
    done: int
    total: int | None
    unit: str


class WorkNote(msgspec.Struct, frozen=True, tag="note"):
    """A warning for the user; the work continues."""

    text: str


class WorkRows(msgspec.Struct, frozen=True, tag="rows"):
    """Some of the results, in order; ``rows`` is the JSON of a list."""

    rows: msgspec.Raw


class WorkDone(msgspec.Struct, frozen=True, tag="done"):
    """The work is done; ``answer`` is the JSON of the request's response."""

    answer: msgspec.Raw


class WorkRefused(msgspec.Struct, frozen=True, tag="refused"):
    """The work cannot be done; ``message`` states what, where and what to do."""

    message: str


WorkReport = WorkProgress | WorkNote | WorkRows | WorkDone | WorkRefused
