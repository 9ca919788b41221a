"""Cautions about what is measured of a run's network."""

from __future__ import annotations

from tests.vld_tui.dashboard.fake_history import make_run
from vld_tui.views.cautions import network_cautions


def test_a_finished_run_needs_no_caution() -> None:
    assert list(network_cautions(make_run(0))) == []


def test_the_network_of_a_running_or_collapsed_run_is_named() -> None:
    running = make_run(0, name="early", status="running", selected_step=20)
    assert list(network_cautions(running)) == ["early is running; this is its network at step 20."]
    assert list(network_cautions(make_run(0, name="flat", collapsed=True, selected_step=30))) == [
        "flat collapsed: it predicts almost only one class, so measurements of its network at "
        "step 30 say little about the images."
    ]
