"""``vld tune``: choose a setting without a target, then train on every domain."""

from vld_tui.cli.tune.command import app as app
