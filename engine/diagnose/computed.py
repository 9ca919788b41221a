"""How each diagnostic is computed of a run's features: see :mod:`engine.protocol.diagnostics`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engine.diagnose.found import Found
from engine.diagnose.richness import RICHNESS
from engine.diagnose.run_features import RunFeatures
from engine.diagnose.target_shift import SHIFT
from engine.protocol.diagnostics import Settings

COMPUTED: Final[Mapping[str, Callable[[RunFeatures, Settings], Found]]] = {**RICHNESS, **SHIFT}
"""How each of :data:`engine.protocol.diagnostics.DIAGNOSTICS` is computed."""
