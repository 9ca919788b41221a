"""Names of files are UTF-8, whatever the locale says."""

from __future__ import annotations

import os
import sys


def use_utf8_names() -> None:
    """Start this process again in UTF-8 mode, where the locale would read names otherwise.

    Good names would not be text then. What is printed stays in the encoding of the locale.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"
    if sys.stdout is not None:
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
