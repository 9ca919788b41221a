"""The page that shows how many bugs the tests find."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from engine.machine.processor import usable_cores
from tests.mutants.mutants import ROOT, Mutant, Part
from tests.mutants.trial import Outcome

HEADER = """\
# How many bugs the tests find

`make mutants` copies the program, puts in one plausible bug at a time, and runs the tests of that
part. If all pass, a test is missing. `tests/mutants/mutants.toml` lists the bugs and the tests that
must find them; `python -m tests.mutants masks splits` tries these parts only. `make test` checks
that every bug still fits the source: when you change such a line, change its entry too.

A full score means that these bugs are found, not that there are no others: tests were written for
those that survived. The bugs are written by hand. Tools such as mutmut and cosmic-ray change every
operator of a file: that makes thousands of bugs, many of them without effect, and takes hours with
tests that train networks.

"""


@dataclass(frozen=True)
class Score:
    """How the tests of a part did with each of its bugs."""

    part: Part
    outcomes: tuple[Outcome, ...]

    @property
    def survivors(self) -> list[Mutant]:
        """Return the bugs that no test found."""
        pairs = zip(self.part.mutants, self.outcomes, strict=True)
        return [mutant for mutant, outcome in pairs if outcome.has_passed]


def page(scores: Sequence[Score], wall_s: float) -> str:
    """Return the page, in Markdown, without its header."""
    bugs = sum(len(score.outcomes) for score in scores)
    survivors = [mutant for score in scores for mutant in score.survivors]
    found = bugs - len(survivors)
    lines = [
        f"{found} of {bugs} bugs were found ({found / bugs:.0%}), at revision {_revision()}, in "
        f"{wall_s / 60:.0f} min on {usable_cores()} cores ({_machine()}).",
        "",
        "| part | bugs | found |",
        "|---|--:|--:|",
        *_rows(scores),
        "",
    ]
    if survivors:
        lines += ["Not found:", ""]
        lines += [f"- {mutant.bug} (`{mutant.place}`)" for mutant in survivors]
    else:
        lines += ["None survived."]
    return "\n".join(lines) + "\n"


def _rows(scores: Sequence[Score]) -> Iterator[str]:
    for score in scores:
        bugs = len(score.outcomes)
        yield f"| {score.part.name} | {bugs} | {bugs - len(score.survivors)} |"


def _machine() -> str:
    python, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    return f"{system}, Python {python}, torch {torch.__version__}"


def _revision() -> str:
    """Return the revision of this folder; ``+``: with changes."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    return git("rev-parse", "--short", "HEAD").strip() + (
        "+" if git("status", "--porcelain") else ""
    )
