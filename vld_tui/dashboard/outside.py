"""Programs outside the dashboard: the user's editor and browser."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from engine.protocol import UserError


class EditorError(UserError):
    """An editor that cannot be used; the message says what to do."""


def find_editor(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command of the user's editor; empty: none is set.

    Raises:
        EditorError: when its quotes are not closed.
    """
    name = next((each for each in ("VISUAL", "EDITOR") if environment.get(each)), "EDITOR")
    command = environment.get(name, "")
    try:
        return shlex.split(command)
    except ValueError:
        raise EditorError(f"{name} is {command!r}, which has an unclosed quote.") from None


def edit(app: App[Any], text: str, name: str) -> str:
    """Have the user edit a text in the editor, with the dashboard suspended; return the result.

    ``name`` is that of the temporary file.

    Raises:
        EditorError: when there is no editor, it fails, or the terminal cannot be handed over, as
            in a browser.
    """
    command = find_editor()
    if not command:
        raise EditorError("No editor: set EDITOR, such as EDITOR=nano, to edit it here.")
    with tempfile.TemporaryDirectory(prefix="vld-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        try:
            with app.suspend():
                code = subprocess.run([*command, str(path)], check=False).returncode
            after = path.read_text(encoding="utf-8")
        except SuspendNotSupported:
            raise EditorError("The editor cannot use this terminal.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise EditorError(f"Cannot edit with {command[0]}: {error}.") from None
    if code:
        raise EditorError(f"{command[0]} ended with exit code {code}: nothing was changed.")
    return after


def has_browser(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this session has a graphical browser on the same machine."""
    if environment.get("SSH_CONNECTION"):
        return False
    is_desktop = sys.platform in ("darwin", "win32")
    if not (is_desktop or environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return False
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return False
    return type(found) is not webbrowser.GenericBrowser  # those run in the terminal


def open_page(app: App[Any], path: Path) -> bool:
    """Open a page in the browser; return whether there is one."""
    if app.is_web or not has_browser():
        return False
    app.open_url(path.as_uri())
    return True
