"""Studies: grids of runs, their planning and their results.

Can be called: ``vld_tui.study(NAME)`` returns results, see :func:`vld_tui.api.study`.
"""

import sys

from vld_tui import FunctionPackage

sys.modules[__name__].__class__ = FunctionPackage
