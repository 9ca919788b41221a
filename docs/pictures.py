"""Draw the pictures of the README from real runs.

    python docs/pictures.py HOME RUN

Writes docs/run.svg: what `vld run` shows at the end of RUN, a run of the history in HOME; and
docs/dashboard.svg: the dashboard on HOME.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from pathlib import Path

from rich.console import Console

from vld_tui.app import make_dashboard
from vld_tui.home import Home, open_home
from vld_tui.launch.local import EventFollower
from vld_tui.store.store import Store
from vld_tui.views.closing import closing_view, next_commands
from vld_tui.views.plan import plan_table
from vld_tui.views.progress import Progress
from vld_tui.widgets.chart import Chart

HERE = Path(__file__).parent
WIDTH = 96
DASHBOARD_SIZE = (150, 42)
PATIENCE_S = 20


def draw_run(home: Home, reference: str) -> None:
    """Draw a run as `vld run` shows it at its end."""
    with Store.open(home) as store:
        run = store.get(reference)
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
    console.save_svg(str(HERE / "run.svg"), title="vld run")


async def draw_dashboard(home: Home) -> None:
    """Draw the dashboard with two runs marked."""
    app = make_dashboard(home)
    async with app.run_test(size=DASHBOARD_SIZE) as pilot:
        await pilot.pause(2)
        await pilot.press("space", "space")
        for _ in range(PATIENCE_S):
            await pilot.pause(1)
            if len(app.screen.query_one("#first", Chart).plot.series) == 2:
                break
        (HERE / "dashboard.svg").write_text(app.export_screenshot(title="vld-tui"))


def main() -> None:
    """Write the pictures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("run")
    asked = parser.parse_args()
    home = open_home(asked.home)
    draw_run(home, asked.run)
    asyncio.run(draw_dashboard(home))


if __name__ == "__main__":
    main()
