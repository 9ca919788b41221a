"""The form of a new run: every field, validated while typing."""

from vld_tui.dashboard.screens.new_run.asking import Order
from vld_tui.dashboard.screens.new_run.screen import NewRun

__all__ = ["NewRun", "Order"]
