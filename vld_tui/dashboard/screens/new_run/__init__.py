"""Configure a run: every field of it, checked as it is typed."""

from vld_tui.dashboard.screens.new_run.asking import Order
from vld_tui.dashboard.screens.new_run.screen import NewRun

__all__ = ["NewRun", "Order"]
