"""The data sets ``objects`` and ``objects-drawn``: different things, drawn and photographed."""

from pathlib import Path
from typing import Final

ARCHIVE: Final = Path(__file__).parent / "objects-drawn.zip"
"""The embedded drawings, which are three of the four domains of ``objects``."""
