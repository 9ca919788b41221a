"""The table of runs on a terminal."""

from __future__ import annotations

import pytest

from engine.protocol import resolve_spec
from tests.vld_tui.dashboard.fake_history import NOW, make_run
from vld_tui.views.run_columns import run_lines, run_table

RUNS = [
    make_run(at, name=f"fluent-mono-s{at}", spec=resolve_spec({"target": target, "seed": at}))
    for at, target in enumerate(("clipart", "lineart"))
]


@pytest.mark.parametrize("cells", [80, 100, 160])
def test_what_all_listed_runs_have_in_common_is_said_once(cells: int) -> None:
    first, heading, *lines = str(run_table(RUNS, now=NOW, cells=cells)).splitlines()
    assert first == "all listed: λ 0.9 · 8 masks · tf_efficientnet_lite0"
    assert "model" not in heading
    for run, line in zip(RUNS, lines, strict=True):
        assert f"→ {run.target}" in line


def test_a_pipe_gets_every_column() -> None:
    heading, *lines = run_lines(RUNS, now=NOW)
    assert {"model", "masks", "λ"} <= set(heading.split())
    assert all("tf_efficientnet_lite0" in line for line in lines)


def test_one_run_has_nothing_in_common_with_others() -> None:
    assert "all listed" not in str(run_table(RUNS[:1], now=NOW, cells=200))
