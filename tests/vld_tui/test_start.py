"""What ``vld-tui`` loads before its first picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vld_tui.start import _only_home

_OPEN = """
import sys
from vld_tui import start
from vld_tui.dashboard.app import make_dashboard
make_dashboard(start._only_home(["--home", sys.argv[1]]))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_the_first_picture_needs_no_numpy_and_no_parser(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OPEN, str(tmp_path)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "textual" in loaded
    assert not {"numpy", "typer", "torch", "PIL", "sqlite_utils", "pandas"} & set(loaded)


@pytest.mark.parametrize(
    "arguments", [["--once"], ["--help"], ["--home"], ["--home", "--debug"], ["--debug", "x"]]
)
def test_other_arguments_are_left_to_the_command_line(arguments: list[str]) -> None:
    assert _only_home(arguments) is None


def test_a_home_that_cannot_be_used_is_left_to_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _only_home([f"--home={tmp_path / 'file'}"]) is None


def test_a_home_is_opened(tmp_path: Path) -> None:
    for arguments in (["--home", str(tmp_path / "a")], [f"--home={tmp_path / 'a'}"]):
        home = _only_home(arguments)
        assert home is not None
        assert home.path == tmp_path / "a"
