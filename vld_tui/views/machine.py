"""The use of this machine as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.rundir.usage import GpuUse
from vld_tui.control.top import MachineState, RunUse
from vld_tui.views.combined import progress_label
from vld_tui.views.phase import brief_activity
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import UNKNOWN, duration, plural, rate
from vld_tui.words.palette import STATUS_SIGNS
from vld_tui.words.text import plain_text

_COLUMNS: Final = (
    Column("", rank=100),
    Column("name", rank=99, shrinks=True, narrowest=12),
    Column("progress", rank=95),
    Column("processor", right=True, rank=98),
    Column("memory", right=True, rank=97),
    Column("steps/s", right=True, rank=96),
    Column("left", right=True, rank=90),
    Column("run", rank=80),
)


def machine_lines(state: MachineState, cells: int | None) -> Iterator[str]:
    """Yield the use of processors, memory, disk and GPUs, then a table of the running runs."""
    load = state.load
    yield f"processor  {_share(load.cpu_share)} of {state.cores} · load {state.load_average:.2f}"
    yield f"memory     {load.memory_gib:.1f}/{load.memory_total_gib:.0f} GiB"
    yield f"disk       {load.disk_left_gib:.0f} GiB left for {plain_text(str(state.home))}"
    for index, gpu in enumerate(load.gpus):
        yield f"{f'gpu {index}':<9}  {_gpu(gpu)}"
    yield ""
    yield plural(len(state.runs), "running run") if state.runs else "No running runs."
    if state.runs:
        yield from table_lines(_COLUMNS, [_row(each) for each in state.runs], cells)


def _gpu(gpu: GpuUse) -> str:
    words = f"{_share(gpu.share)} · {gpu.memory_gib:.1f}/{gpu.memory_total_gib:.0f} GiB"
    return words if gpu.power_w is None else f"{words} · {gpu.power_w:.0f} W"


def _row(use: RunUse) -> list[str]:
    run = use.run
    progress = progress_label(run.step, run.task) if run.has_spec else run.status
    doing = brief_activity(run)
    where = "" if use.is_here or run.host is None else f" on {run.host}"
    return [
        STATUS_SIGNS[run.status],
        plain_text(f"{run.label}{where}"),
        f"{progress} · {doing}" if doing else progress,
        _share(use.cpu_share),
        UNKNOWN if use.memory_gib is None else f"{use.memory_gib:.1f} GiB",
        rate(run.steps_per_s),
        duration(run.seconds_left),
        run.run_id,
    ]


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.0%}"
