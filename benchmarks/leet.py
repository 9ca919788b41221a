"""Open the same curves in the dashboard and in W&B LEET, one after the other.

    python -m benchmarks.leet [--rounds 3]

A run of 20 metrics and a loss × 50,000 steps. Prints the time from the start of the program to the
first curve and to the complete picture, its processor time, and its memory. LEET begins with the
run; the dashboard begins with the list, and opens the run once the list is shown. Needs ``wandb``
and ``pyte``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import pyte
import wandb

from benchmarks.dashboard import A_RUN, open_dashboard
from benchmarks.filled_home import (
    LONG_DOMAINS,
    LONG_STEPS,
    fill,
    long_value,
    run_id,
    write_long_run,
)
from benchmarks.terminal import Terminal
from vld_tui.home import Home, open_home
from vld_tui.store.store import Store

QUIET_S: Final = 1.5
"""A picture is complete if no output follows for this long."""

A_CURVE: Final = rb"\xe2[\xa0-\xa3]"
"""A braille character."""


class Opened(NamedTuple):
    """Seconds to the first curve and to the complete picture, processor seconds until then, and
    memory in MiB."""

    first_s: float
    wall_s: float
    cpu_s: float
    memory_mib: float


def main() -> None:
    """Print the medians of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="vld-bench-") as folder:
        home = open_home(Path(folder) / "home")
        fill(home, 20)
        write_long_run(home.run_dir(run_id(20)), 20)  # the first from above
        with Store.open(home) as store:
            store.folders.rebuild()
        log = write_for_leet(Path(folder))
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(of_ours(home))
            theirs.append(of_leet(log))
    for name, opened in (("vld-tui", ours), (f"wandb leet {wandb.__version__}", theirs)):
        first_s, wall_s, cpu_s, memory = map(statistics.median, zip(*opened, strict=True))
        print(
            f"{name:20} first curve {first_s:.2f} s, complete {wall_s:.2f} s, "
            f"processor {cpu_s:.2f} s, {memory:.0f} MiB"
        )


def write_for_leet(folder: Path) -> Path:
    """Write the long run's values as an offline run; return its log."""
    settings = wandb.Settings(mode="offline", silent=True, x_disable_stats=True)
    with wandb.init(project="bench", dir=folder, settings=settings) as run:
        for step in range(1, LONG_STEPS + 1):
            value = long_value(step)
            row = {"id": value, "ood": value - 0.2, "loss": 2 - value}
            for number in range(LONG_DOMAINS):
                row |= {f"accuracy/domain {number}": value, f"loss/domain {number}": value}
            run.log(row, step=step)
        return Path(run.dir).parent


def of_ours(home: Home) -> Opened:
    """Open the run in the dashboard; its picture is complete if no output follows."""
    with open_dashboard(home) as terminal:
        terminal.wait_for(A_RUN)
        typed_at = terminal.type("\r")
        terminal.wait_for(run_id(20).encode(), typed_at)
        first_at = terminal.wait_for(A_CURVE, typed_at)
        return _opened(terminal, first_at, terminal.wait_until_quiet(QUIET_S))


def of_leet(log: Path) -> Opened:
    """Open the run in LEET; its picture is complete once it shows the last step."""
    environment = {"WANDB_ERROR_REPORTING": "false", "HOME": str(log.parent)}
    command = [sys.executable, "-m", "wandb", "leet", "run", str(log)]
    with Terminal(
        ["env", *(f"{key}={value}" for key, value in environment.items()), *command]
    ) as terminal:
        first_at = terminal.wait_for(A_CURVE)
        complete: list[float] = []

        def see(at: float, screen: pyte.Screen) -> None:
            if not complete and any(str(LONG_STEPS) in line for line in screen.display):
                complete.append(at)

        while not complete:
            time.sleep(2 * QUIET_S)
            terminal.replay(see)
        return _opened(terminal, first_at, complete[0])


def _opened(terminal: Terminal, first_at: float, complete_at: float) -> Opened:
    return Opened(
        first_at - terminal.started_at,
        complete_at - terminal.started_at,
        terminal.processor_s(),
        terminal.memory_mib(),
    )


if __name__ == "__main__":
    main()
