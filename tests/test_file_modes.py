"""Files are for whom the person's umask lets read them: neither more people, nor fewer."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.filled_study import fill_study
from tests.small_runs import MakeRun, run_here
from tests.vld_tui.cli.conftest import Vld
from vld_tui.home import open_home
from vld_tui.study.define.files import find_text, keep_study

STUDY = """
name = "rates"
seeds = 2
domains = { emoji = ["fluent", "noto"] }
fields = { steps = 20 }
cross = { target = "all", dropout_rate = [0.0, 0.9] }
"""


@pytest.fixture(params=[0o022, 0o077, 0o007], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


def others(root: Path, umask: int) -> dict[str, str]:
    """Return the modes of all files and folders below that are not what the umask makes them."""
    found = {}
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode != (0o777 if path.is_dir() else 0o666) & ~umask:
            found[str(path.relative_to(root))] = oct(mode)
    return found


def test_a_run_its_checkpoints_cache_and_predictions(make_run: MakeRun, umask: int) -> None:
    run_dir = make_run()
    run_here(run_dir)
    home = run_dir.path.parents[1]
    written = {path.name for path in home.rglob("*")}
    kept = {run_dir.predictions.name, run_dir.step_predictions.name}
    assert kept | {"best.safetensors", "last.safetensors", "cache"} <= written
    assert others(home, umask) == {}


def test_history_studies_reports_and_exports(tmp_path: Path, umask: int) -> None:
    home, study_file = open_home(tmp_path / "home"), tmp_path / "rates.toml"
    study_file.write_text(STUDY)
    text = find_text(home, str(study_file))
    study = text.read(home)
    keep_study(home, study, text)
    fill_study(home, study, arms=())
    vld = Vld(home.path)
    assert vld("report", "rates", "--out", str(tmp_path / "report")).exit_code == 0
    assert vld("tag", "@last", "best").exit_code == 0
    assert {path.suffix for path in (tmp_path / "report").iterdir()} >= {".csv", ".tex", ".html"}
    assert any(home.path.glob("*.db"))
    assert others(tmp_path, umask) == {}
