"""The ID–OOD plane of a study."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import BindingType

from vld_tui.dashboard.keys import bind
from vld_tui.dashboard.widgets.plane import Plane


class StudyPlane(Plane):
    """A point for each setting and target, or for its mean over targets."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("means-targets", "m", "screen.means", "means/targets", show=True),
    ]

    def __init__(self, **settings: Any) -> None:
        super().__init__(colourings=("setting", "target"), **settings)
