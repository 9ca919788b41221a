"""What commands print: plain lines, and JSON."""

from __future__ import annotations

import sys

import msgspec
import typer

from vld_tui.views.text import plain_text


def say(line: str, *, to_stderr: bool = False) -> None:
    """Print a line as plain text: nothing in it steers the terminal."""
    typer.echo(plain_text(line), err=to_stderr)


def print_json(value: object) -> None:
    """Print one JSON document and a newline on stdout, and nothing else."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    sys.stdout.flush()
