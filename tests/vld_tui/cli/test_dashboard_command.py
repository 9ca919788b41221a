"""``vld-tui`` where nobody looks at it: the runs as they stand, printed once."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from tests.vld_tui.cli.conftest import Vld
from vld_tui.cli.dashboard import app


def test_the_runs_are_printed_once(history: Vld) -> None:
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["--once", "--home", str(history.home)])
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert "3 runs" in heading
    assert any("first" in row and "finished" in row for row in rows)


def test_a_home_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    for folder in (tmp_path / "mistyped", tmp_path):
        result = CliRunner().invoke(app, ["--once", "--home", str(folder)])
        assert result.exit_code == 2
        assert f"The home {folder} does not exist yet" in result.stderr
        assert "--home DIR" in result.stderr
    assert list(tmp_path.iterdir()) == []
