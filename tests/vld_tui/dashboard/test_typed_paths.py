"""Paths that the user types in a form."""

from __future__ import annotations

from pathlib import Path

import pytest

from vld_tui.dashboard.screens.use.paths import completed, split_paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("photos", "pictures", "my photos", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "photos/a.jpg").touch()
    (tmp_path / "my photos/b.jpg").touch()
    return tmp_path


def test_a_path_is_completed_as_far_as_it_is_certain(folder: Path) -> None:
    assert completed(f"{folder}/ph") == f"{folder}/photos/"
    assert completed(f"{folder}/photos/") == f"{folder}/photos/a.jpg"
    assert completed(f"{folder}/p") == f"{folder}/photos/", "the first: they share nothing more"
    assert completed(f"{folder}/my photos/") == f"{folder}/my photos/b.jpg"
    assert completed(f"{folder}/pictures {folder}/ph") == f"{folder}/pictures {folder}/photos/"
    assert completed(f"{folder}/none") is None
    assert completed("") is None


def test_paths_are_split_as_in_a_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    assert split_paths("photos 'my photos'") == (f"{folder}/photos", f"{folder}/my photos")
    assert split_paths("my photos") == (f"{folder}/my photos",)
    assert split_paths("~/photos/*.jpg") == (f"{folder}/photos/*.jpg",)
    with pytest.raises(ValueError, match="quotation"):
        split_paths("'my photos and others")
