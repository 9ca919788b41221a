"""What runs used of their machine, drawn under their curves."""

import numpy as np
import pytest
from textual.pilot import Pilot

from engine.protocol.system import SYSTEM_METRICS
from tests.vld_tui.dashboard import fake_history
from tests.vld_tui.dashboard.fake_history import FakeSource, make_run, play, screen_lines, settle
from vld_tui.dashboard.app import Dashboard
from vld_tui.dashboard.feed import RunCurves
from vld_tui.dashboard.widgets.chart import Chart
from vld_tui.runs.run import Run
from vld_tui.views.system import NO_SAMPLES, NO_SAMPLES_YET

VALUES = {
    "interval_s": 20.0, "run_cpu_share": 0.4, "cpu_share": 0.9, "run_memory_gib": 3.0,
    "memory_gib": 8.0, "waiting_share": 0.25, "computing_share": 0.75,
}  # fmt: skip


def with_samples(run: Run) -> RunCurves:
    """Return the curves of a run of which there are two samples."""
    plain = PLAIN(run)
    steps = np.array([60.0, 180])
    samples = {SYSTEM_METRICS[name].key: (steps, steps * 0 + of) for name, of in VALUES.items()}
    return RunCurves(run, {**plain.curves, **samples}, plain.log, plain.reported)


PLAIN = fake_history.curves_of


async def shown(app: Dashboard, pilot: Pilot[None], *keys: str) -> str:
    await pilot.press(*keys)
    await settle(pilot)
    return "\n".join(screen_lines(app))


def test_panels_take_the_place_of_other_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_history, "curves_of", with_samples)

    async def use(app: Dashboard, pilot: Pilot[None]) -> None:
        before = await shown(app, pilot, "enter")
        assert "domains" in before
        after = await shown(app, pilot, "H")
        assert "accuracy  last" in after
        assert "processor and GPU  last  ● 40.0% this run  ▲ 90.0% machine" in after
        assert "memory (GiB)  last  ● 3 this run  ▲ 8 machine" in after
        assert "25.0% waiting" in after
        assert "domains" not in after
        assert "GPU power" not in after, "there is no GPU"
        charts = [each for each in app.screen.query(Chart) if each.plot.series]
        assert len({(each.plot.across.low, each.plot.across.high) for each in charts}) == 1
        at_cursor = await shown(app, pilot, "i", "left")
        assert "processor and GPU  step 150, values of step 180" in at_cursor
        assert await shown(app, pilot, "i", "H") == before

    play(FakeSource([make_run(0)]), use, size=(120, 36))


def test_marked_runs_are_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_history, "curves_of", with_samples)

    async def use(app: Dashboard, pilot: Pilot[None]) -> None:
        text = await shown(app, pilot, "space", "j", "space", "H")
        assert "waiting for data  last" in text
        memory = next(each for each in app.screen.query(Chart) if "memory" in each.plot.title)
        assert len(memory.plot.series) == 2

    play(FakeSource([make_run(0, name="a"), make_run(1, name="b")]), use, size=(200, 50))


@pytest.mark.parametrize(
    ("status", "told"), [("finished", NO_SAMPLES), ("running", NO_SAMPLES_YET)]
)
def test_runs_without_samples_say_so_in_one_line(status: str, told: str) -> None:
    async def use(app: Dashboard, pilot: Pilot[None]) -> None:
        assert told in await shown(app, pilot, "enter", "H")

    play(FakeSource([make_run(0, status=status)]), use, size=(120, 36))
