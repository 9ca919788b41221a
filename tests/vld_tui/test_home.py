from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from vld_tui.home import HomeError, open_home


def test_an_option_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLD_HOME", str(tmp_path / "named"))
    assert open_home(tmp_path / "given").path == tmp_path / "given"
    assert open_home(None).path == tmp_path / "named"


def test_an_empty_variable_means_the_platform_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLD_HOME", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_home(None).path == platformdirs.user_data_path("vld-tui")
    assert tmp_path in open_home(None).path.parents


def test_opening_makes_the_folders_once(tmp_path: Path) -> None:
    home = open_home(tmp_path / "deep" / "home")
    (home.run_dir("a").path).mkdir()
    again = open_home(home.path)
    assert all(folder.is_dir() for folder in (again.runs, again.trash, again.cache))
    assert home.run_dir("a").path.is_dir()


def test_a_relative_home_does_not_move_with_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_home(Path("here")).path == tmp_path / "here"


def test_a_run_finds_the_home_s_cache(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    assert home.run_dir("a").cache == home.cache


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(HomeError, match=r"Cannot write to .*file/home: .*--home DIR or VLD_HOME"):
        open_home(file / "home")
