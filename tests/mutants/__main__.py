"""``python -m tests.mutants``: put one plausible bug after another into a copy of the program, and
see which of them the tests next to it find.

Each bug of ``mutants.toml`` goes into a copy of its own, never into this folder, and the tests of
its part run there until one fails. A process that has imported torch once is forked for each.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.mutants.mutants import ROOT, Mutant, Part, read_parts
from tests.mutants.score import HEADER, Score, page
from tests.mutants.trial import POLL_S, Outcome, Trial

PAGE: Final = ROOT / "docs" / "mutants.md"
PRELOADED: Final = ("torch", "torchvision", "timm", "cv2", "textual.app", "typer", "scipy.special",
                    "hypothesis", "matplotlib")  # fmt: skip
"""Imported once, for all copies."""
SLOWER: Final = 4
GRACE_S: Final = 20.0
"""A bug is found, too, when tests take so many times as long as without it, and this on top."""


def main() -> int:
    """Try every bug, print what was found, and return 1 if one was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", help="parts to probe (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="bugs tried at once (default: 2)")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    parts = list(read_parts())
    names = [part.name for part in parts]
    if unknown := [name for name in options.parts if name not in names]:
        parser.error(f"no part named {unknown[0]}; parts: {', '.join(names)}")
    if options.write and options.parts:
        parser.error("--write needs all parts")
    wanted = [part for part in parts if not options.parts or part.name in options.parts]
    began = time.monotonic()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as conftest.py has it, before torch
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="vld-mutants-", ignore_cleanup_errors=True) as folder:
        probe = Probe(Path(folder).resolve(), options.jobs)
        scores = [probe.score(part) for part in wanted]
    text = page(scores, time.monotonic() - began)
    print(text)
    if options.write:
        PAGE.write_text(HEADER + text)
    return int(any(score.survivors for score in scores))


class Probe:
    """A sound copy of the program, and one with a bug for each trial."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self._folder, self._jobs = folder, jobs
        self._sound = folder / "sound"
        for name in _files():
            target = self._sound / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)

    def score(self, part: Part) -> Score:
        """Run a part's tests on the program as it is, then with each of its bugs.

        Raises:
            SystemExit: when they fail without a bug, or cannot run with one.
        """
        sound = Trial(self._sound, part.tests, self._folder / f"sound-{part.name}").wait()
        if not sound.has_passed:
            raise SystemExit(f"{sound.output}\nThe tests of {part.name} fail without any bug.")
        print(f"{part.name}: {len(part.mutants)} bugs, tests take {sound.wall_s:.1f} s", flush=True)
        outcomes: dict[Mutant, Outcome] = {}
        running: dict[Mutant, Trial] = {}
        left = list(part.mutants)
        try:
            while left or running:
                while left and len(running) < self._jobs:
                    mutant = left.pop(0)
                    running[mutant] = self._try(part, mutant, SLOWER * sound.wall_s + GRACE_S)
                for mutant, trial in list(running.items()):
                    if (outcome := trial.poll()) is not None:
                        del running[mutant]
                        outcomes[mutant] = _report(mutant, outcome)
                        shutil.rmtree(trial.root.parent, ignore_errors=True)
                time.sleep(POLL_S)
        finally:
            for trial in running.values():
                trial.end()
        return Score(part, tuple(outcomes[mutant] for mutant in part.mutants))

    def _try(self, part: Part, mutant: Mutant, limit_s: float) -> Trial:
        folder = Path(tempfile.mkdtemp(prefix="bug-", dir=self._folder))
        copy = folder / "program"
        shutil.copytree(self._sound, copy, copy_function=os.link)
        path = mutant.path(copy)
        mutated = mutant.apply(path.read_text(), copy)
        path.unlink()  # a link to the sound one
        path.write_text(mutated)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()
        return Trial(copy, part.tests, folder / "tmp", limit_s)


def _report(mutant: Mutant, outcome: Outcome) -> Outcome:
    """Print how a trial ended, and return it.

    Raises:
        SystemExit: when no test could run.
    """
    if not (outcome.has_passed or outcome.has_failed):
        raise SystemExit(f"{outcome.output}\n{mutant.place}: {mutant.bug}: no test could run.")
    caught_by = outcome.failed_test.partition("::")[2] or "the time limit"
    found = f"caught by {caught_by}" if outcome.has_failed else "SURVIVED"
    print(f"  {outcome.wall_s:5.1f} s  {mutant.bug}: {found}", flush=True)
    return outcome


def _files() -> Iterator[str]:
    """Yield the files of the program: those that git knows, or would."""
    command: Sequence[str] = ("git", "ls-files", "-z", "-c", "-o", "--exclude-standard")
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    yield from (name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


if __name__ == "__main__":
    sys.exit(main())
