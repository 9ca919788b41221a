"""A process that has imported the engine and forks other processes that need not.

``python -P -X faulthandler -m engine.fork_server DESCRIPTOR MODULE… ROOM``: it imports the modules,
then forks a process for each request (engine/protocol/fork.py) that arrives over the socket. It
ends when the other end of the socket is closed, and when a file that it has imported was changed.

Importing torch starts no thread that a fork would lose: OpenBLAS, of numpy, ends its own before a
fork and starts them again, and OpenMP starts its threads at the first parallel region. CUDA reads
its environment at its first use. Both first happen in the forked process.

ROOM is blank: the forked process writes its own command line there, which ps and pgrep show.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import runpy
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.machine.processor import let_waiting_threads_sleep
from engine.protocol.fork import GO, LARGEST_REQUEST, PROCESS_ID, SERVER_READY, ForkRequest

_DESCRIPTORS: Final = 4
_ARGUMENTS_START: Final = 45
"""Index of the address of the command line in ``/proc/PID/stat``, after the name."""


def main() -> None:
    """Import the modules, then serve; in a forked process, do what the request asks for."""
    exit_codes: list[int] = []
    atexit.register(_end_at_once, exit_codes)  # the first one registered is the last one called
    _, descriptor, *modules, _ = sys.argv
    let_waiting_threads_sleep()
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # else a collection would write to, and so copy, every page of the imports
    with socket.socket(fileno=int(descriptor)) as connection:
        request = serve(connection)
    if request is not None:
        exit_codes.append(run(request))


def _end_at_once(exit_codes: Sequence[int]) -> None:
    """End a forked process without taking apart its modules, whose pages it would have to copy."""
    if exit_codes:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(exit_codes[0] & 0xFF)


def serve(connection: socket.socket) -> ForkRequest | None:
    """Fork a process for each request; return the request there, and None at the end."""
    imported = _changed_at(_imported_files())
    with contextlib.suppress(BrokenPipeError):
        connection.send(SERVER_READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, _DESCRIPTORS)
        if not message or _changed_at(imported) != imported:
            return None
        request = msgspec.msgpack.decode(message, type=ForkRequest)
        process = _fork(is_leader=request.is_leader)
        if process is None:
            connection.close()
            _connect(*descriptors)
            return request
        for each in descriptors:
            os.close(each)
        connection.send(process)


def _imported_files() -> list[str]:
    files = [vars(module).get("__file__") for module in sys.modules.values()]
    return [file for file in files if isinstance(file, str) and os.path.isabs(file)]


def _changed_at(files: Sequence[str] | dict[str, int]) -> dict[str, int]:
    """Return the modification time of each file that exists."""
    times = {}
    for file in files:
        with contextlib.suppress(OSError):
            times[file] = os.stat(file).st_mtime_ns
    return times


def _fork(*, is_leader: bool) -> bytes | None:
    """Fork a process that loses its parent at once, and return its id; None in that process.

    The client, an ancestor, adopts it, so that it is the client that learns how it ends.
    """
    reads, writes = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            is_between = os.fork() != 0
        except OSError:
            is_between = True
        if is_between:
            os._exit(0)
        if is_leader:
            os.setsid()
        os.write(writes, PROCESS_ID.pack(os.getpid()))
    else:
        os.waitpid(between, 0)
    os.close(writes)
    process = os.read(reads, PROCESS_ID.size) if between else None  # empty if it has died
    os.close(reads)
    return process


def _connect(stdin: int, stdout: int, stderr: int, gate: int) -> None:
    """Wait until the client lets this process begin, and give it its standard streams."""
    for number, stream in enumerate((stdin, stdout, stderr)):
        os.dup2(stream, number)
        os.close(stream)
    with socket.socket(fileno=gate) as client:
        if client.recv(len(GO)) != GO:  # it has ended, or starts the run in another way
            os._exit(0)
    # A run's output is a file, or a pipe, as the server's need not be.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


def run(request: ForkRequest) -> int:
    """Do what ``python -m`` does, and return the exit code.

    Raises:
        SystemExit: with a message in place of an exit code.
    """
    if request.folder is not None:
        os.chdir(request.folder)
    os.environb.clear()
    os.environb.update(request.environment)
    module, *arguments = map(os.fsdecode, request.words)
    _show_command_line([*sys.orig_argv[: sys.orig_argv.index("-m") + 1], module, *arguments])
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        return end.code or 0
    return 0


def _show_command_line(words: Sequence[str]) -> None:
    """Overwrite this process's command line, unless it is too long for the memory it has."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = map(int, fields[_ARGUMENTS_START : _ARGUMENTS_START + 2])
        text = b"".join(os.fsencode(word) + b"\0" for word in words)
        if start and len(text) <= end - start:
            ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    main()
