"""Runs as plain values: state, progress, files, events and statistics.

Can be called: ``vld_tui.runs(where=…)`` lists runs, see :func:`vld_tui.api.runs`.
"""

import sys

from vld_tui import FunctionPackage

sys.modules[__name__].__class__ = FunctionPackage
