"""Numbers out of range, and homes that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.vld_tui.cli.conftest import Vld
from vld_tui.cli import app

HUGE = "9" * 20
COMMANDS = {
    "ls --limit": ["ls", "--limit"],
    "logs --lines": ["logs", "first", "-n"],
    "curve --width": ["curve", "first", "--width"],
    "curve --height": ["curve", "first", "--height"],
    "queue slots": ["queue", "slots"],
    "combine interpolate --points": ["combine", "interpolate", "first", "@last", "--points"],
    "resume --gpus": ["resume", "@last", "--gpus"],
    "sweep --slots": ["sweep", "paper-fig3", "--slots"],
    "data shift --image-size": ["data", "shift", ".", "--corruptions", "all", "--image-size"],
    "data shift --seed": ["data", "shift", ".", "--corruptions", "all", "--seed"],
    "data cache --image-size": ["data", "cache", "emoji", "--image-size"],
    "serve --port": ["serve", "--port"],
    "run --steps": ["run", "--dry-run", "--steps"],
    "run --seed": ["run", "--dry-run", "--seed"],
}


@pytest.mark.parametrize("number", [HUGE, "-3", "x"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_number_out_of_range_is_refused(vld: Vld, command: str, number: str) -> None:
    words = COMMANDS[command]
    given = [f"{words[-1]}={number}"] if words[-1].startswith("--") else [words[-1], number]
    result = vld(*words[:-1], *given)
    assert result.exit_code == 2, result.output
    assert "rebuild" not in result.stderr
    assert "Unexpected" not in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ls", "--limit", HUGE], f"{HUGE} is too large: it must be at most 2,147,483,647."),
        (["curve", "first", "--width", "5"], "--width is 5, but must be from 40 to 1,000."),
        (["curve", "first", "--width", "0"], "--width is 0"),
        (["curve", "first", "--height", "2"], "--height is 2, but must be from 10 to 500."),
    ],
)
def test_the_range_is_named(vld: Vld, words: list[str], told: str) -> None:
    assert told in vld(*words).stderr


@pytest.mark.parametrize("words", [["--home", "", "ls"], ["ls", "--home", ""], ["ls", "--home="]])
def test_an_empty_home_is_refused(
    vld: Vld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    result = vld(*words)
    assert result.exit_code == 2
    assert "--home: must be a path, not an empty string." in result.stderr.replace("'", "")
    assert list(here.iterdir()) == []


LOOKING = (
    "ls", "ls --json", "ls --trashed", "queue ls", "profile ls", "show first", "curve first",
    "logs first", "compare a b", "prune --dry-run", "sweep ls", "report paper-fig3",
    "sweep status paper-fig3", "data ls",
)  # fmt: skip


@pytest.mark.parametrize("command", LOOKING)
def test_looking_makes_no_home_of_an_empty_folder(vld: Vld, command: str) -> None:
    result = vld(*command.split())
    assert result.exit_code in (0, 1, 2), result.output
    assert list(vld.home.iterdir()) == []
    assert "Unexpected" not in result.output


@pytest.mark.parametrize("command", ["ls", "queue ls", "show first"])
def test_looking_does_not_make_the_usual_home(tmp_path: Path, command: str) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path / "data"), "VLD_HOME": ""}
    result = CliRunner(env=environment).invoke(app, command.split())
    assert result.exit_code == (2 if command == "show first" else 0), result.output
    assert not (tmp_path / "data").exists()
