"""``python -m vld_tui``: the same as ``vld``."""

from vld_tui.cli import main

main()
