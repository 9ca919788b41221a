"""Ordinary `vld run`s of a benchmark, kept in a home under a tag each and not repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vld_tui.home import Home


class Tagged(Protocol):
    """What identifies a run: its tag is unique in the home."""

    @property
    def tag(self) -> str:
        """Return the tag."""


Design = TypeVar("Design", bound=Tagged)


def vld(home: Path, *arguments: str) -> Any:
    """Run a `vld` command that prints JSON."""
    command = [sys.executable, "-m", "vld_tui.cli", *arguments, "--home", str(home), "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def finished_runs(home: Path) -> dict[str, str]:
    """Return the ids of the finished runs of a home by their tags."""
    is_made = Home(home).is_made
    listed = vld(home, "ls", "--where", "status:finished", "--limit", "0") if is_made else []
    return {tag: str(run["run"]) for run in listed for tag in run["tags"]}


def make_missing(
    home: Path, designs: Iterable[Design], train: Callable[[Design], str], at_most: int
) -> dict[str, str]:
    """Make up to ``at_most`` runs that a home lacks; return the ids of all finished ones by tag."""
    finished = finished_runs(home)
    for design in designs:
        if design.tag not in finished and at_most:
            at_most -= 1
            finished[design.tag] = train(design)
    return finished
