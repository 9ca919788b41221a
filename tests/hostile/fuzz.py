"""``python -m tests.hostile.fuzz``: give readers bytes nobody thought of, for some minutes each.

Guided by coverage (atheris, libFuzzer). Any error but the one that a reader declares is a crash:
it is printed, with the bytes, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["engine.protocol", "vld_tui.store", "engine.rundir.event_log"]
):
    from engine.protocol import EventDecodeError, decode_event, encode_event, resolve_spec
    from engine.rundir.event_log import EventLog
    from vld_tui.home import open_home
    from vld_tui.store.errors import QueryError
    from vld_tui.store.query import Query
    from vld_tui.store.store import Store

from tests.vld_tui.store.told_runs import Teller

Target = Callable[[bytes], None]
FILTERS = ("ood>0.5 target=noto", "-name:'a b' dropout>=0.9", "created>2d #tag status=finished")
SORTS = (None, "-ood", "created")


def read_an_event(data: bytes) -> None:
    """Decode a line; what is an event can be written and read again."""
    try:
        event = decode_event(data)
    except EventDecodeError:
        return
    assert encode_event(decode_event(encode_event(event))) == encode_event(event)


def read_a_history(folder: Path) -> tuple[Target, list[bytes]]:
    """Return what takes bytes for a run's whole log, and real logs."""
    home = open_home(folder / "home")
    store = Store.open(home)
    run_dir = home.run_dir(store.runs.create(resolve_spec({})).run_id)
    Teller(run_dir).finishes()
    whole = run_dir.events.read_bytes()

    def read(data: bytes) -> None:
        run_dir.events.write_bytes(data)
        EventLog(run_dir.events).close()
        store.folders.rebuild()
        store.series.all(run_dir.run_id)

    return read, [whole, *whole.splitlines(keepends=True)]


def ask_for_runs(folder: Path) -> tuple[Target, list[bytes]]:
    """Return what takes bytes for a filter, and filters that are some."""
    store = Store.open(open_home(folder / "home"))
    for seed in range(3):
        store.runs.create(resolve_spec({"seed": seed}), name=f"a'b%_{seed}", tags=["tag"])

    def ask(data: bytes) -> None:
        text = data.decode(errors="surrogateescape")
        try:
            query = Query.parse(text, sort=SORTS[len(data) % len(SORTS)])
        except QueryError:
            return
        try:
            store.runs.count(query)
            store.runs.find(query)
        finally:
            assert store.runs.count() == 3

    return ask, [text.encode() for text in FILTERS]


def _events(folder: Path) -> tuple[Target, list[bytes]]:
    return read_an_event, read_a_history(folder)[1][1:]


TARGETS = {"events": _events, "history": read_a_history, "filter": ask_for_runs}


def _fuzz(name: str, seconds: int, folder: Path) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    target, known = TARGETS[name](folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(known):
        (corpus / str(number)).write_bytes(content)
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", f"-artifact_prefix={folder}/",
         str(corpus)],
        target,
    )  # fmt: skip
    atheris.Fuzz()


def main() -> int:
    """Fuzz every target in a process of its own, print how much was tried, and return 1 if any
    crashed."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--target", choices=TARGETS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vld-fuzz-") as place:
        if options.target:
            _fuzz(options.target, options.seconds, Path(place))
        crashes = 0
        for name in TARGETS:
            command = [sys.executable, "-m", "tests.hostile.fuzz", "--target", name]
            ended = subprocess.run(
                [*command, "--seconds", str(options.seconds)],
                capture_output=True, text=True, errors="replace", check=False, env=os.environ,
            )  # fmt: skip
            done = re.search(r"Done (\d+) runs", ended.stderr)
            crashes += ended.returncode != 0
            tried = f"{int(done[1]):,} inputs" if done else "it did not end well"
            print(f"{name:8} {tried}, {'a crash' if ended.returncode else 'no crash'}", flush=True)
            if ended.returncode:
                print(ended.stderr[-3000:])
    return int(crashes > 0)


if __name__ == "__main__":
    sys.exit(main())
