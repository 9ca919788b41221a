"""Draw the pictures of the README from a real run.

    python docs/pictures.py HOME RUN

Writes docs/run.svg: what `vld run` shows at the end of RUN, a run of the history in HOME.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from rich.console import Console

from vld_tui.home import open_home
from vld_tui.launch.local import EventFollower
from vld_tui.store.store import Store
from vld_tui.views.closing import closing_view, next_commands
from vld_tui.views.plan import plan_table
from vld_tui.views.progress import Progress

WIDTH = 96


def main() -> None:
    """Write the pictures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("run")
    asked = parser.parse_args()
    with Store.open(open_home(asked.home)) as store:
        run = store.get(asked.run)
        progress = Progress()
        for event in EventFollower(store.run_dir(run.run_id)).poll():
            progress = progress.after(event)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(plan_table(run.spec, progress))
    console.print()
    console.print(
        closing_view(
            run.spec, progress, run_id=run.run_id, name=run.name, status=run.status, cells=WIDTH
        )
    )
    console.print()
    console.print(next_commands([("vld curve @last", "its accuracies and loss over the steps")]))
    console.save_svg(str(Path(__file__).parent / "run.svg"), title="vld run")


if __name__ == "__main__":
    main()
