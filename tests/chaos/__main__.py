"""``python -m tests.chaos``: a night of kills, and what was lost in it. Ctrl-C ends it.

Real engines under the real queue are killed with signal 9 at random moments, and so are the
supervisor, dashboards and commands. Then everything is compared with what was never disturbed.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

from engine.protocol import resolve_spec
from tests.chaos.checks import look_at_everything
from tests.chaos.crowd import Crowd
from tests.chaos.household import RUN, Household
from tests.chaos.night import Night
from tests.small_runs import unpack_small_emoji
from vld_tui.home import open_home

RECOVERY_PATIENCE_S = 900.0
DASHBOARDS, WRITERS = 3, 5


def main() -> int:
    """Have a night, print what came of it, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills of the night")
    parser.add_argument("--seeds", type=int, default=4, help="seeds of the study at its beginning")
    parser.add_argument("--chance", type=int, default=0, help="seed of whom to kill, and when")
    parser.add_argument("--engines", type=int, default=20, help="engines at once, afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vld-chaos-") as folder:
        place = Path(folder).resolve()
        unpack_small_emoji(place / "small-emoji")
        household = Household(open_home(place / "home"), place / "small-emoji")
        night = Night(household, random.Random(options.chance), options.seeds)
        started = time.monotonic()
        try:
            night.pass_by(options.kills)
            killed_s = time.monotonic() - started
            night.recover(RECOVERY_PATIENCE_S)
        finally:
            household.close()
        found = look_at_everything(household.home, place)
        crowd = _gather(Household(open_home(place / "crowded"), place / "small-emoji"), options)
    complaints = night.complaints + found.complaints + crowd.complaints
    _print(night, found.attempts, found.runs, killed_s)
    print(
        f"{crowd.most_engines} engines, {DASHBOARDS} dashboards and {WRITERS} commands at once: "
        f"{crowd.commands} commands"
    )
    for complaint in complaints:
        print(f"LOST  {complaint}")
    print(f"{len(complaints)} complaints")
    return int(bool(complaints))


def _gather(household: Household, options: argparse.Namespace) -> Crowd:
    crowd = Crowd(household, (sys.executable, "-m", "vld_tui.launch.queue"))
    fields = {**RUN, "data_dir": str(household.data)}
    specs = [resolve_spec({**fields, "seed": seed}) for seed in range(options.engines)]
    try:
        crowd.gather(specs, dashboards=DASHBOARDS, writers=WRITERS, patience_s=RECOVERY_PATIENCE_S)
        crowd.complaints += look_at_everything(
            household.home, household.home.path.parent / "after-crowd"
        ).complaints
    finally:
        household.close()
    return crowd


def _print(night: Night, attempts: int, runs: int, killed_s: float) -> None:
    print(f"{platform.platform()}, {platform.processor() or platform.machine()}")
    who = ", ".join(f"{count} {kind}" for kind, count in night.kills.most_common())
    print(f"{night.kills.total()} kills in {killed_s:.0f} s: {who}")
    print(f"{night.torn_saves} of them while a checkpoint was written")
    print(f"{runs} runs, {attempts} attempts")


if __name__ == "__main__":
    sys.exit(main())
