"""Processes that need not import torch and this project first.

``WarmPopen`` is ``subprocess.Popen``, except that the engine's processes and pytest's workers are
forked from a server that has imported their packages. All else is as it would be: arguments,
environment, folder, streams, session, and the parent. Whatever cannot be so is started cold, as is
everything on other systems than Linux and under the fixture ``cold_starts``.

A worker has a server of its own, which is forked too.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

ROOT: Final = Path(__file__).parents[1]
_PYTHON: Final = sys.executable

_NEED_TORCH: Final = ("engine", "engine.inspect")
_DO_NOT: Final = ("engine.datasets", "vld_tui", "vld_tui.cli")
"""What ``python -m`` may start warm."""
_STAND_INS: Final = ("vld_with_stand_in.py", "stand_in_engine.py")
"""Programs that may start warm."""
_WORKER: Final = ("-u", "-c", "import sys;exec(eval(sys.stdin.readline()))")
"""How execnet starts a worker of pytest."""
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
_PR_SET_CHILD_SUBREAPER: Final = 36
_NUMBER: Final = struct.Struct("<I")


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
        server = _LIGHT if command and _is_light(command) else _WITH_TORCH
        if command is None or not server.is_for(variables):
            super()._execute_child(args, executable, preexec_fn, *rest)  # type: ignore[misc]
            return
        streams = (ends[0], ends[3], ends[5])
        asked = {
            "command": command,
            "environment": variables,
            "folder": os.fspath(cwd) if cwd else os.getcwd(),
            "is_leader": session,
            "is_traced": "faulthandler" in words,
        }
        try:
            self.pid = server.fork(
                asked, [mine if end == -1 else end for mine, end in enumerate(streams)]
            )
        finally:
            self._close_pipe_fds(*ends)  # type: ignore[attr-defined]
        self._child_created = True


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
        case code:
            is_known = code == [*_WORKER]
    return words[at:] if is_known and words[0] == _PYTHON else None


def _is_light(command: Sequence[str]) -> bool:
    return command != [*_WORKER] and command[1] not in _NEED_TORCH


class _Server:
    """The process that forks the others; it starts when the first of them does."""

    def __init__(self, *packages: str, reads: tuple[str, ...]) -> None:
        self.packages = packages
        self.reads = reads
        self.belong_to_this_process()

    def belong_to_this_process(self) -> None:
        """Forget the server of the process that this one was forked from."""
        self.environment = dict(os.environ)
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def is_for(self, environment: Mapping[str, str]) -> bool:
        """Say whether a process of this environment would be as one that is started cold."""
        names = {
            name
            for name in {*environment, *self.environment} - {"PYTHONPATH"}
            if name.startswith(self.reads)
        }
        is_same = all(environment.get(name) == self.environment.get(name) for name in names)
        return is_same and self.owner == os.getpid()

    def fork(self, asked: Mapping[str, object], streams: Sequence[int]) -> int:
        """Return the id of a new child of this process.

        Raises:
            OSError: when the server has died.
        """
        message = json.dumps(asked).encode()
        with self._lock:
            connection = self._connection or self._start()
            _adopt_orphans(yes=True)
            try:
                socket.send_fds(connection, [_NUMBER.pack(len(message))], streams)
                connection.sendall(message)
                answer = connection.recv(_NUMBER.size, socket.MSG_WAITALL)
            finally:
                _adopt_orphans(yes=False)
        if len(answer) != _NUMBER.size:
            raise OSError("The server of warm processes has died.")
        return int(_NUMBER.unpack(answer)[0])

    def fork_here(self, streams: Sequence[int]) -> None:
        """Make a copy of this process, which has just begun, its server, without its streams."""
        self.belong_to_this_process()
        self._connection, other = socket.socketpair()
        if os.fork() == 0:
            self._connection.close()
            for stream in streams:
                os.close(stream)
            os.setsid()
            _serve(other)
            os._exit(0)
        other.close()

    def _start(self) -> socket.socket:
        self._connection, other = socket.socketpair()
        with other:
            path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
            process = subprocess.Popen(
                [_PYTHON, "-m", "tests.warm_processes", str(other.fileno()), *self.packages],
                stdin=subprocess.DEVNULL, pass_fds=[other.fileno()], start_new_session=True,
                env=self.environment | {"PYTHONPATH": path}, cwd=ROOT,
            )  # fmt: skip

        def end(connection: socket.socket = self._connection) -> None:
            connection.close()
            if os.getpid() == self.owner:
                process.wait()

        atexit.register(end)
        return self._connection


_LIGHT: Final = _Server(
    "vld_tui", "engine.datasets", "engine.protocol", "engine.rundir", reads=_READ_AT_THE_START
)
_WITH_TORCH: Final = _Server(
    "engine", "vld_tui", *_ALSO_IMPORTED, reads=(*_READ_AT_THE_START, *_READ_WITH_TORCH)
)


def _adopt_orphans(*, yes: bool) -> None:
    """Become the parent of descendants whose own parent ends, or stop to."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def _import(packages: Sequence[str]) -> None:
    """Import packages, all modules of them, and with these all that they use."""
    for package in packages:
        found = importlib.import_module(package)
        is_ours = package.startswith(("engine", "vld_tui"))
        for module in pkgutil.walk_packages(found.__path__, f"{package}.") if is_ours else ():
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def _serve(connection: socket.socket) -> None:
    """Fork what is asked for, until the process that asks has ended."""
    while True:
        size, streams, _, _ = socket.recv_fds(connection, _NUMBER.size, 3)
        if not size:
            return
        asked = json.loads(connection.recv(_NUMBER.unpack(size)[0], socket.MSG_WAITALL))
        _fork_twice(asked, streams, connection)
        for stream in streams:
            os.close(stream)


def _fork_twice(asked: dict[str, Any], streams: list[int], connection: socket.socket) -> None:
    """Fork a process that loses its parent at once, and answer its id."""
    reads, writes = os.pipe()
    if (between := os.fork()) == 0:
        if (child := os.fork()) == 0:
            connection.close()
            os.close(reads)
            os.close(writes)
            _run(asked, streams)
        os.write(writes, _NUMBER.pack(child))
        os._exit(0)
    os.waitpid(between, 0)
    connection.sendall(os.read(reads, _NUMBER.size))
    os.close(reads)
    os.close(writes)


def _run(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    """Do what the interpreter does from its start to its end."""
    if asked["is_leader"]:
        os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    _LIGHT.belong_to_this_process()
    if server := _server_within(asked["command"]):
        server.fork_here(streams)
        subprocess.Popen = WarmPopen  # type: ignore[misc]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    if asked["is_traced"]:
        faulthandler.enable()
    code = _exit_code_of(asked["command"])
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code & 0xFF)


def _server_within(command: Sequence[str]) -> _Server | None:
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


def _run_program(command: Sequence[str]) -> None:
    """Run a module, or the code of a worker, as what was started."""
    match command:
        case ["-m", module, *arguments]:
            sys.argv = [module, *arguments]
            for name in (module, f"{module}.__main__"):  # it is run, not imported
                if not hasattr(sys.modules.get(name), "__path__"):
                    sys.modules.pop(name, None)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-u", "-c", code]:
            sys.argv = ["-c"]
            sys.modules["__main__"] = types.ModuleType("__main__")
            exec(code, vars(sys.modules["__main__"]))
        case [program, *arguments]:
            sys.argv = [program, *arguments]
            sys.path.insert(0, os.path.dirname(program))
            runpy.run_path(program, run_name="__main__")


def _exit_code_of(command: Sequence[str]) -> int:
    try:
        _run_program(command)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    from tests.warm_processes import _import as import_all
    from tests.warm_processes import _serve as serve

    import_all(sys.argv[2:])
    with socket.socket(fileno=int(sys.argv[1])) as given:
        serve(given)
