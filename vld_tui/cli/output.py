"""What commands print, and the streams they print to."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from vld_tui.words.terminal import is_dumb

if TYPE_CHECKING:
    from rich.console import Console

HOME_KEY: Final = "vld.home"
_COMMAND: Final = re.compile(r"(?<![\w/.-])vld (?=[a-z])")
_given: list[Path] = []
"""The folder given by ``--home`` in this invocation, if any."""
NextCommands = Sequence[tuple[str, str]]
"""Commands to run next, each with its purpose."""
_STANDARD: Final = ("stdin", "stdout", "stderr")
_INVISIBLE: Final = re.compile(
    "[\x7f-\x9f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
"""Characters that are valid in JSON but that a terminal would interpret or not show."""


def home_option(ctx: typer.Context) -> Path | None:
    """Return the value of ``--home``, given before or after the subcommand."""
    value: Path | None = ctx.meta.get(HOME_KEY)
    return value


def remember_home(home: Path | None) -> None:
    """Store the home given as an option; None for none."""
    _given[:] = [] if home is None else [home]


def with_home(text: str) -> str:
    """Return the text with ``--home`` added to its ``vld …`` commands if it was given."""
    if not _given:
        return text
    option = f"vld --home {shlex.quote(str(_given[0]))} "
    return _COMMAND.sub(lambda _: option, text)


def settle_streams() -> None:
    """Make the standard streams usable.

    A closed stream (``>&-``) is opened on /dev/null; otherwise the next file to be opened would
    get its number and receive what is printed. Without UTF-8, characters become ``?``.
    """
    for number, name in enumerate(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, this one
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def say(line: str, *, to_stderr: bool = False) -> None:
    """Print a line as plain text, without terminal escapes."""
    from vld_tui.words.text import plain_text  # not for the help

    typer.echo(plain_text(line), err=to_stderr)


@contextlib.contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Return a function that shows what is being done on a terminal's last line, which is cleared
    in the end; nothing elsewhere."""
    if not sys.stderr.isatty() or is_dumb():
        yield lambda _: None
        return
    from rich.console import Console  # not for the help
    from rich.text import Text

    from vld_tui.words.text import plain_text

    console = Console(stderr=True)
    with console.status("") as status:
        yield lambda text: status.update(Text(f"{plain_text(text)}…"))


def say_wrapped(text: str) -> None:
    """Print a paragraph, on a terminal wrapped between words."""
    cells = terminal_cells()
    for line in [text] if cells is None else textwrap.wrap(text, max(20, cells)):
        say(line)


def suggest(commands: NextCommands) -> None:
    """Print commands to run next, with their purposes."""
    for command, purpose in commands:
        say(with_home(f"  {command}  # {purpose}"))


def on_one_line(error: object) -> str:
    """Return an error's lines as one, to follow other words on a line."""
    return with_home(" ".join(str(error).splitlines()))


def plain_console() -> Console:
    """Return a console that prints text as it is, without markup."""
    from rich.console import Console  # a pipe does without it

    return Console(highlight=False, markup=False, emoji=False)


def terminal_cells() -> int | None:
    """Return the width of the terminal; None if stdout is not one, so that no line is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_text(text: str) -> None:
    """Print text to stdout: unchanged for scripts, as plain text on a terminal."""
    from vld_tui.words.text import plain_text  # not for the help

    sys.stdout.write(plain_text(text, keep_newlines=True) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def print_json(value: object) -> None:
    """Print one JSON document and a newline to stdout, and nothing else."""
    import json  # not for the help

    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # such as an ASCII locale
        text = json.dumps(json.loads(text), indent=2)
    sys.stdout.write(_INVISIBLE.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n")
    sys.stdout.flush()
