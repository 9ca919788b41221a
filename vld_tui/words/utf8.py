"""Treat file names as UTF-8 in any locale."""

from __future__ import annotations

import os
import sys


def use_utf8_names() -> None:
    """Restart this process in UTF-8 mode if the locale would decode names differently.

    Valid names would otherwise not be text. Output stays in the encoding of the locale.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    if sys.stdout is not None:
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
