"""What commands print: plain lines, and JSON."""

from __future__ import annotations

import json
import re
import sys
from typing import Final

import msgspec
import typer

from vld_tui.views.text import plain_text


def say(line: str, *, to_stderr: bool = False) -> None:
    """Print a line as plain text: nothing in it steers the terminal."""
    typer.echo(plain_text(line), err=to_stderr)


_INVISIBLE: Final = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""What JSON may hold as it is, though a terminal obeys it or shows nothing."""


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def print_json(value: object) -> None:
    """Print one JSON document and a newline on stdout, and nothing else."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # such as in a locale of ASCII: nothing is lost
        text = json.dumps(json.loads(text), indent=2)
    sys.stdout.write(_INVISIBLE.sub(_escaped, text) + "\n")
    sys.stdout.flush()
