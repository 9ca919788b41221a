"""Text that users and readers see is plain technical English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from vld_tui.cli import app

ROOT: Final = Path(__file__).resolve().parent.parent
ROOMS: Final = sorted(
    path.relative_to(ROOT).as_posix()
    for package in ("engine", "vld_tui")
    for path in (ROOT / package).iterdir()
    if path.is_dir() or path.suffix == ".py"
)
"""Modules and folders whose texts are checked."""
WORDINGS: Final = {
    r"(go|goes|going|gone|went) on": "resume, continue, run",
    r"anew|once more": "again, restart, rebuild",
    r"for want of": "because of insufficient",
    r"by itself": "automatically",
    r"taken together": "grouped",
    r"(is|are) there|(is|are) not there": "exists, is missing",
    r"came of|come of": "results",
    r"whoever|somebody|nobody|a person|for people": "the user, another process",
    r"mend|mends|mended": "fix",
    r"tell|tells|told|telling": "show, report, distinguish",
    r"to look at": "read-only",
    r"waits? no longer": "removed from the queue",
    r"wait for a slot|waits for a slot": "queued",
    r"broken off|breaks off|broke off": "interrupted",
    r"beside": "next to, in addition to",
    r"without a word|as ever|makes? no sense|at work": "",
    r"ways? of predicting": "arm, predictor",
    r"likest|hastened": "most similar, faster",
    r"made small|is one's|one's own": "",
    r"(fields|values) as usual|the usual ones?": "defaults",
    r"OOD less ID|none of .{1,40} better|none better": "OOD − ID, Pareto front",
    r"(page|view|step|study|domain|hit) before": "previous page",
    r"tak(e|es|en|ing) (back|out)|takes? (runs )?together|took it up": "undo, remove, group",
    r"can be looked at|between looks|went here": "read-only, refresh interval, ran",
    r"saves and stops|killed nothing|how it stands|how far it is": "",
    r"up to but not including|slot (more|less)|every step again": "below, add slot, all steps",
}
"""Phrases that sentences must not contain, and what to write instead."""
_REFUSED: Final = re.compile(rf"\b(?:{'|'.join(WORDINGS)})\b", re.IGNORECASE)


def refused(text: str) -> list[str]:
    """Return the phrases in a text that have a plainer wording."""
    return [found[0] for found in _REFUSED.finditer(text)]


def modules(path: Path) -> list[Path]:
    """Return the module itself, or all modules of a folder."""
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string in a module, docstrings included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def commands(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path, the command and the context of a command and its subcommands."""
    context = command.context_class(
        command, info_name=name, parent=parent, terminal_width=80, max_content_width=80
    )
    yield context.command_path, command, context
    for each in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from commands(command.get_command(context, each), each, context)


COMMANDS: Final = {
    path: (each, context) for path, each, context in commands(get_command(app), "vld")
}


@pytest.mark.parametrize("room", ROOMS)
def test_no_string_has_an_awkward_phrase(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {phrase}"
        for path in modules(ROOT / room)
        for line, text in texts(path)
        for phrase in refused(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", COMMANDS)
def test_help_is_plain_and_fits_a_terminal(path: str) -> None:
    command, context = COMMANDS[path]
    text = command.get_help(context)
    assert refused(text) == []
    assert max(map(len, text.splitlines())) <= 80
    assert not [line for line in text.splitlines() if re.search(r"[a-z]\.\.\.$", line)], "cut"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_has_a_help_and_shows_its_default_in_one_way(path: str) -> None:
    command, context = COMMANDS[path]
    for param in command.get_params(context):
        if getattr(param, "hidden", False):
            continue
        text = (param.help or "").strip()
        assert text, f"{path} {param.name}"
        if "default:" in text:
            assert re.search(r"\. \[[^\[\]]*default: [^\[\]]+\]$", text), f"{path}: {text}"


def test_phrases_are_found_as_whole_words() -> None:
    assert refused("The run goes on, and nobody mends it.") == ["goes on", "nobody", "mends"]
    assert refused("One page before; the usual ones.") == ["page before", "the usual ones"]
    assert refused("Recommended for categories on disk; besides, the telltale seed.") == []
