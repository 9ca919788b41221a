"""Programs started in odd places: without streams, folder or UTF-8, as a module, on few columns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vld_tui.cli.conftest import ROOT, Vld
from vld_tui.views.inventory import model_lines


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_give_no_traceback(vld: Vld, tmp_path: Path, closed: str) -> None:
    script = f"{sys.executable} -m vld_tui ls --trashed {closed}"
    ran = subprocess.run(
        ["bash", "-c", f"exec 3>&2; ({script}); echo $? >&3"], env=vld.environment(),
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert ran.stderr in ("0\n", "The trash is empty.\n0\n")


def test_the_package_is_a_program(vld: Vld) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "vld_tui", "--version"], env=vld.environment(),
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert ran.stdout.startswith("vld ")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder that was deleted."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


@pytest.mark.usefixtures("nowhere")
def test_a_deleted_folder_is_named_where_it_matters(vld: Vld) -> None:
    assert vld("ls").exit_code == 0
    refused = vld("run", "--data", "here", "--target", "red")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("Error: The current directory was deleted or moved.\n")


@pytest.mark.usefixtures("nowhere")
def test_a_mistyped_home_is_not_taken_for_a_deleted_folder(vld: Vld, tmp_path: Path) -> None:
    assert "does not exist yet" in vld("ls", "--home", str(tmp_path / "mistyped")).stderr


@pytest.mark.parametrize("cells", [24, 30, 60])
def test_networks_keep_their_names_on_few_columns(cells: int) -> None:
    models = [{"name": "tf_efficientnet_lite0.in1k", "weights": "packaged"}]
    heading, line = model_lines(models, cells=cells)
    assert heading.startswith("network")
    assert line.startswith("tf_effi")
    assert max(len(heading), len(line)) <= cells


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_locale_without_utf_8_reads_and_writes_text(
    vld: Vld, tmp_path: Path, encoding: str
) -> None:
    settings = tmp_path / "run.toml"
    settings.write_text('target = "größe"\n', encoding="utf-8")
    environment = vld.environment(
        LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING=encoding
    )

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "vld_tui", *words]
        return subprocess.run(command, env=environment, capture_output=True, check=False, cwd=ROOT)

    if encoding == "ascii":  # the stricter one: the engine is asked too, which takes seconds
        refused = run("run", "--dry-run", "--config", os.fspath(settings))
        assert b"Traceback" not in refused.stderr
        assert b"codec" not in refused.stderr
    listed = run("ls", "--json", "--where", "name='größe'")
    assert (listed.returncode, listed.stdout) == (0, b"[]\n")
    made = run("profile", "set", "big", "partition=größe")
    assert made.returncode == 0, made.stderr
    shown = run("profile", "show", "big", "--json")
    assert shown.returncode == 0, shown.stderr
