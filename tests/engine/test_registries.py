"""Each name that a run may be given has code that does it, and the other way round."""

from __future__ import annotations

from engine import arms, objectives, protocol
from engine.combine import METHODS


def test_the_names_of_the_protocol_are_those_of_the_code() -> None:
    assert objectives.OBJECTIVES.keys() == protocol.OBJECTIVES.keys()
    assert arms.ARMS.keys() == protocol.ARMS.keys()
    assert METHODS.keys() == protocol.METHODS.keys()
