"""The data sets ``objects`` and ``objects-drawn``: different things, drawn and photographed."""

from typing import Final

from engine.protocol.embedded import EMBEDDED_ARCHIVES

ARCHIVE: Final = EMBEDDED_ARCHIVES["objects-drawn"]
"""The embedded drawings, which are three of the four domains of ``objects``."""
