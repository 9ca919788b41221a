"""The dashboard's first line: counts of runs, and the machine's load."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from vld_tui.runs.machine import MachineLoad
from vld_tui.words.numbers import UNKNOWN, plural
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, ID_STYLE, QUIET_STYLE
from vld_tui.words.text import plain_text

LOW_DISK_GIB = 2


def status_text(
    count: int,
    live: Mapping[str, int],
    load: MachineLoad | None,
    *,
    home: str,
    problem: str | None,
    is_read_only: bool = False,
) -> Text:
    """Return the line: counts of runs, the machine's load, the home or a problem."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(" vld-tui  ", HEADING_STYLE)
    text.append(plural(count, "run"))
    for status, number in sorted(live.items()):
        text.append(f" · {number} {status}", ID_STYLE)
    if load is not None:
        cpu = UNKNOWN if load.cpu_share is None else f"{load.cpu_share:.0%}"
        text.append(
            f"   cpu {cpu} · memory {load.memory_gib:.1f}/{load.memory_total_gib:.0f} GiB",
            QUIET_STYLE,
        )
        for index, gpu in enumerate(load.gpus):
            name = "gpu" if len(load.gpus) == 1 else f"gpu{index}"
            text.append(
                f" · {name} {gpu.share:.0%} {gpu.memory_gib:.0f}/{gpu.memory_total_gib:.0f} GiB",
                QUIET_STYLE,
            )
        is_low = load.disk_left_gib < LOW_DISK_GIB
        text.append(
            f" · disk {load.disk_left_gib:.0f} GiB left", ALARM_STYLE if is_low else QUIET_STYLE
        )
    if problem:
        text.append(f"   {plain_text(problem)}", ALARM_STYLE)
        return text
    if is_read_only:
        text.append("   read-only:", ALARM_STYLE)
    text.append(f"   {plain_text(home)}", QUIET_STYLE)
    return text
