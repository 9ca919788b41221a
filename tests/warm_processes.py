"""Processes that need not import torch and this project first.

``WarmPopen`` is ``subprocess.Popen``, except that the engine's processes and pytest's workers are
forked from a server that has imported their packages. All else is as it would be: arguments,
environment, folder, streams, session, and the parent. Whatever cannot be so is started cold, as is
everything on other systems than Linux and under the fixture ``cold_starts``.

A worker has a server of its own, which is forked too.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from engine.fork_server import run, serve
from vld_tui.launch.fork_server import ForkServer, fork_request

ROOT: Final = Path(__file__).parents[1]
_PYTHON: Final = sys.executable

_NEED_TORCH: Final = (
    "engine", "engine.diagnose", "engine.export", "engine.inference", "engine.inspect",
)  # fmt: skip
_DO_NOT: Final = ("engine.datasets", "vld_tui", "vld_tui.cli")
"""What ``python -m`` may start warm."""
_STAND_INS: Final = ("vld_with_stand_in.py", "stand_in_engine.py")
"""Programs that may start warm."""
_WORKER: Final = ("-u", "-c", "import sys;exec(eval(sys.stdin.readline()))")
"""How execnet starts a worker of pytest."""
WARM_CODE: Final = "# warm"
"""How the code of a ``python -c`` begins that may start warm; others may look at imports."""
_FLAGS: Final[Mapping[str, int]] = {"-P": 1, "-X": 2}
"""Options of the interpreter, and how many words each takes."""
_ALSO_IMPORTED: Final = ("scipy.stats", "playwright.sync_api", "pyarrow.parquet", "textual.pilot")
"""What the tests themselves import, and takes long."""
_READ_AT_THE_START: Final = (
    "PYTHON", "LC_", "LANG", "LD_PRELOAD", "TEXTUAL", "TYPER", "_TYPER", "TERM_PROGRAM",
    "FORCE_COLOR", "PY_COLORS",
)  # fmt: skip
"""Variables that a server has read: another value of theirs needs a cold start."""
_READ_WITH_TORCH: Final = ("OMP_", "MKL_", "HF_")


class WarmPopen(subprocess.Popen[Any]):
    """``subprocess.Popen``, except that some processes are forked from a server."""

    is_on: ClassVar[bool] = sys.platform == "linux"

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, *rest: Any) -> None:
        _, pass_fds, cwd, env, _, _, shell, *ends, _, _, _, _, umask, session, group = rest
        ordinary = (executable, preexec_fn, tuple(pass_fds), shell, umask, group)
        words = [os.fsdecode(each) for each in args] if isinstance(args, (list, tuple)) else []
        variables = dict(os.environ if env is None else env)
        is_warm = self.is_on and ordinary == (None, None, (), False, -1, -1)
        command = _command(words) if is_warm else None
        pid = None
        if command is not None:
            given = (ends[0], ends[3], ends[5])
            streams = [own if end == -1 else end for own, end in enumerate(given)]
            folder = os.fspath(cwd or os.getcwd())
            pid = _fork(command, variables, folder, streams, is_leader=session)
        if pid is None:
            super()._execute_child(args, executable, preexec_fn, *rest)  # type: ignore[misc]
            return
        self.pid = pid
        self._close_pipe_fds(*ends)  # type: ignore[attr-defined]
        self._child_created = True


def _fork(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    streams: Sequence[int],
    *,
    is_leader: bool,
) -> int | None:
    """Return the id of a new child of this process; None if it must start cold."""
    server = _LIGHT if _is_light(command) else _WITH_TORCH
    if not server.is_for(environment):
        return None
    match command:
        case ["-m", module, *arguments] if module.startswith("engine"):
            words = [module, *arguments]
        case _:
            words = ["tests.warm_program", *command]
    server.warm_up()
    request = fork_request(words, environment, folder=folder, is_leader=is_leader)
    return server.fork(request, streams)


def _command(words: Sequence[str]) -> Sequence[str] | None:
    """Return a command without the interpreter's options, or None for what must start cold."""
    at = 1
    while at < len(words) and words[at] in _FLAGS:
        at += _FLAGS[words[at]]
    match words[at:]:
        case ["-m", module, *_]:
            is_known = module in (*_NEED_TORCH, *_DO_NOT)
        case [program, *_] if program.endswith(".py"):
            is_known = Path(program).name in _STAND_INS
        case ["-c", code, *_]:
            is_known = code.startswith(WARM_CODE)
        case code:
            is_known = code == [*_WORKER]
    return words[at:] if is_known and words[0] == _PYTHON else None


def _is_light(command: Sequence[str]) -> bool:
    return command != [*_WORKER] and command[1] not in _NEED_TORCH


class _Server(ForkServer):
    """A fork server of one process, ``owner``, with the environment ``environment``."""

    def __init__(self, *packages: str, reads: tuple[str, ...]) -> None:
        self.packages = packages
        self.reads = reads
        self.belong_to_this_process()

    def belong_to_this_process(self) -> None:
        """Forget the server of the process that this one was forked from."""
        self.environment = dict(os.environ)
        self.owner = os.getpid()
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        modules = ["tests.warm_imports", *self.packages]
        super().__init__(modules, self.environment | {"PYTHONPATH": path})

    def is_for(self, environment: Mapping[str, str]) -> bool:
        """Say whether a process of this environment would be as one that is started cold."""
        names = {
            name
            for name in {*environment, *self.environment} - {"PYTHONPATH"}
            if name.startswith(self.reads)
        }
        is_same = all(environment.get(name) == self.environment.get(name) for name in names)
        return is_same and self.owner == os.getpid()

    def fork_here(self) -> None:
        """Make a copy of this process, which has just begun, its server."""
        self.belong_to_this_process()
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self._connection.close()
            os.setsid()
            with open(os.devnull, "r+b") as nothing:
                for number in range(3):
                    os.dup2(nothing.fileno(), number)
            request = serve(theirs)
            raise SystemExit(0 if request is None else run(request))
        theirs.close()
        self._await_ready()

    def close(self) -> None:
        """End the server, unless it is that of the process that this one was forked from."""
        if self.owner == os.getpid():
            super().close()


_LIGHT: Final = _Server(
    "vld_tui", "engine.datasets", "engine.protocol", "engine.rundir", reads=_READ_AT_THE_START
)
_WITH_TORCH: Final = _Server(
    "engine", "vld_tui", *_ALSO_IMPORTED, reads=(*_READ_AT_THE_START, *_READ_WITH_TORCH)
)
for _server in (_LIGHT, _WITH_TORCH):
    atexit.register(_server.close)


def server_within(command: Sequence[str]) -> _Server | None:
    """Return the server that a process needs for those that it starts itself."""
    match command:
        case ["-m", "vld_tui" | "vld_tui.cli", "serve", *_]:
            return None  # its tests count its children
        case ["-m", "vld_tui" | "vld_tui.cli", *_]:
            return _LIGHT
        case [program, *_] if Path(program).name == _STAND_INS[0]:
            return _LIGHT
        case _:
            return _WITH_TORCH if command == [*_WORKER] else None
