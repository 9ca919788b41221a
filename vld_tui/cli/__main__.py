"""``python -m vld_tui.cli``: the same as ``vld``."""

from vld_tui.cli import main

main()
