"""The folder of an export is complete or absent, and nothing of others is deleted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.export.folder import MANIFEST, Manifest, new_folder, write_manifest
from engine.protocol.export import Verification
from tests.faults.disks import fill_up, small_disk

MADE = Manifest(
    run="run", arm="erm", at="best", to="pt2", temperature=1.0, versions={},
    verification=Verification(1, True, 0.0, 0.0, 1e-4, 1, (1,)),
)  # fmt: skip


def _export(
    destination: Path,
    content: str = "weights",
    *,
    replaces: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    with new_folder(destination, replaces=replaces) as folder:
        (folder / "model.pt2").write_text(content)
        meanwhile()
        write_manifest(folder, MADE)


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_new_or_an_empty_folder_is_filled(tmp_path: Path) -> None:
    _export(tmp_path / "deep" / "er" / "out")
    (tmp_path / "empty").mkdir()
    _export(tmp_path / "empty")
    assert _names(tmp_path / "empty") == _names(tmp_path / "deep/er/out") == [MANIFEST, "model.pt2"]
    assert _names(tmp_path) == ["deep", "empty"]


def test_an_export_is_replaced_only_if_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _export(out, "one")
    with pytest.raises(InputError, match="exists.*--force"):
        _export(out, "two")
    assert (out / "model.pt2").read_text() == "one"
    _export(out, "two", replaces=True)
    assert (out / "model.pt2").read_text() == "two"
    assert _names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda out: (out / "notes.txt").write_text("mine"), "also contains notes.txt"),
        (lambda out: (out / ".git").mkdir(), "also contains .git"),
        (lambda out: (out / "model.pt2").write_text("mine"), "changed later: model.pt2"),
        (lambda out: (out / MANIFEST).unlink(), "has no export.json"),
        (lambda out: (out / MANIFEST).write_text("{"), "has a damaged export.json"),
    ],
)
def test_a_folder_with_other_things_is_never_replaced(
    tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    out = tmp_path / "out"
    _export(out)
    change(out)
    before = _names(out)
    with pytest.raises(InputError, match=said):
        _export(out, replaces=True)
    assert _names(out) == before
    assert _names(tmp_path) == ["out"]


def test_what_appears_during_the_export_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _export(out)

    def write_late() -> None:
        (out / "late").write_text("mine")

    with pytest.raises(InputError, match="also contains late"):
        _export(out, replaces=True, meanwhile=write_late)
    assert _names(out) == [MANIFEST, "late", "model.pt2"]
    assert _names(tmp_path) == ["out"]


def test_files_and_the_current_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="not a folder"):
        _export(tmp_path / "file", replaces=True)
    with pytest.raises(InputError, match="Cannot write .*below"):
        _export(tmp_path / "file" / "below")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="is the current folder"):
        _export(tmp_path / "here")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("no"), MemoryError()])
def test_an_interrupted_export_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def interrupt() -> None:
        raise error

    with pytest.raises(type(error)):
        _export(tmp_path / "new" / "out", meanwhile=interrupt)
    assert _names(tmp_path) == []
    _export(tmp_path / "out", "one")
    with pytest.raises(type(error)):
        _export(tmp_path / "out", "two", replaces=True, meanwhile=interrupt)
    assert (tmp_path / "out" / "model.pt2").read_text() == "one"
    assert _names(tmp_path) == ["out"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        _export(disk / "out")
        fill_up(disk)
        with pytest.raises(InputError, match="Nothing was exported. The disk .*no space left"):
            _export(disk / "out", "x" * 2**20, replaces=True)
        assert (disk / "out" / "model.pt2").read_text() == "weights"
        assert _names(disk) == ["filler", "out"]
