"""README and docs: their links lead somewhere, and the commands they show exist."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from vld_tui.cli import app

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
FRONT_DOOR_LINES: Final = 125
GROUPS: Final = frozenset({"combine", "data", "models", "profile", "queue", "sweep"})
OPTION: Final = re.compile(r"--[a-z][a-z-]*|-[a-z]")
NOT_ENGLISH: Final = re.compile(
    r"\b(go(es|ing)? on|anew|beside|somebody|whoever|for want of|is told|are told|taken "
    r"together|by itself|for a person|for people|likest|once more)\b"
)
"""Phrases that read as translated: say resumes, again, next to, the user …"""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pages
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        name, _, anchor = link.partition("#")
        if name.startswith("http"):
            continue
        linked = page.parent / name if name else page
        assert linked.exists(), link
        assert not anchor or anchor in anchors(linked), link


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every ``vld`` command in blocks of code and in code spans."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(vld [^`]+)`", prose(page))
    for line in lines:
        words = line.partition(" #")[0].split()
        if len(words) > 1 and words[0] == "vld" and words[1].isalpha():
            yield words[1:]


@cache
def help_of(*words: str) -> str:
    """Return the help of a command; empty where there is none."""
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    return result.output if result.exit_code == 0 else ""


def options_of(words: list[str]) -> str:
    """Return the help of the command that words begin with."""
    if words[0] in GROUPS and len(words) > 1 and (text := help_of(words[0], words[1])):
        return text
    return help_of(words[0])


@pages
def test_every_command_exists_with_its_options(page: Path) -> None:
    for words in commands(page):
        if "…" in words:  # stands for words left out
            continue
        known = options_of(words)
        assert known, " ".join(words)
        for option in filter(OPTION.fullmatch, words):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known), " ".join(words)


@pages
def test_no_phrase_reads_as_translated(page: Path) -> None:
    assert NOT_ENGLISH.findall(page.read_text(encoding="utf-8")) == []


def test_the_readme_is_a_front_door() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= FRONT_DOOR_LINES
