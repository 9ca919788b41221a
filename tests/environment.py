"""One environment for all tests, whatever the shell that starts pytest has set.

Importing this module makes it. ``conftest.py`` imports it first: many packages read variables as
they are imported.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pytest

_KEPT: Final = frozenset(
    {"PATH", "TMPDIR", "TEMP", "TMP", "USER", "LOGNAME", "VIRTUAL_ENV", "PYTHONPATH", "LD_PRELOAD"}
    | {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
"""Variables without which programs and packages may not be found."""
_KEPT_PREFIXES: Final = ("PYTEST_", "COV_CORE_", "COVERAGE_", "CUDA_", "NVIDIA_", "PLAYWRIGHT_")
_SET: Final[Mapping[str, str]] = MappingProxyType(
    {
        "LANG": "C.UTF-8",
        "OMP_WAIT_POLICY": "PASSIVE",  # as in the engine: threads that wait do not spin
        "SHELL": "/bin/sh",
        "TERM": "xterm-256color",
        "TZ": "UTC",
    }
)
_WORKER: Final = "PYTEST_XDIST_WORKER"
_HEARD: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


def _clean() -> None:
    """Keep few variables, set others, and undo what a process inherits from a shell.

    Raises:
        UsageError: when file names are not UTF-8, which only a new process can change.
    """
    if sys.getfilesystemencoding() != "utf-8":
        raise pytest.UsageError("The locale is not UTF-8: run make test, or set PYTHONUTF8=1.")
    home = os.environ["HOME"] if _WORKER in os.environ else _make_home()
    for name in set(os.environ) - _KEPT:
        if not name.startswith(_KEPT_PREFIXES):
            del os.environ[name]
    os.environ.update(_SET, HOME=home)
    time.tzset()
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
    for number in _HEARD:  # `nohup` and a shell script's `&` have them ignored
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _make_home() -> str:
    """Make an empty home folder: no settings, caches or weights of the user's."""
    home = tempfile.mkdtemp(prefix="home-of-tests-")
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(home, ignore_errors=True)

    atexit.register(remove)
    return home


_clean()
