"""The dashboard's first line."""

from __future__ import annotations

from pathlib import Path

from engine.rundir.usage import GpuUse
from vld_tui.runs.machine import MachineLoad
from vld_tui.views.status_line import status_text


def line(load: MachineLoad, *, problem: str | None = None, is_read_only: bool = False) -> str:
    return status_text(
        1, {"running": 1}, load, home="/home", problem=problem, is_read_only=is_read_only
    ).plain


def test_processor_memory_gpus_and_disk_are_told() -> None:
    one = MachineLoad(0.25, 2, 16, 100, (GpuUse(0.9, 30, 80),))
    assert line(one) == (
        " vld-tui  1 run · 1 running   cpu 25% · memory 2.0/16 GiB · gpu 90% 30/80 GiB "
        "· disk 100 GiB left   /home"
    )
    two = MachineLoad(0.25, 2, 16, 100, (GpuUse(0.9, 30, 80), GpuUse(0, 0, 80)))
    assert "· gpu0 90% 30/80 GiB · gpu1 0% 0/80 GiB" in line(two)


def test_what_is_wrong_takes_the_place_of_the_home() -> None:
    load = MachineLoad(0, 2, 16, 1)
    assert line(load, problem="locked\x1b").endswith("left   locked␛")
    assert line(load, is_read_only=True).endswith("read-only:   /home")


def test_this_machine_is_measured(tmp_path: Path) -> None:
    load = MachineLoad.measure(tmp_path)
    assert 0 < load.memory_gib < load.memory_total_gib
    assert load.disk_left_gib > 0
    assert all(0 <= gpu.share <= 1 and gpu.memory_gib <= gpu.memory_total_gib for gpu in load.gpus)
