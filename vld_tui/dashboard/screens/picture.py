"""Export the screen as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.app import App


def save_picture(app: App[Any], path: str) -> None:
    """Write the screen below the question to a new file, and notify the user."""
    place = Path(path).expanduser().absolute()
    try:
        with place.open("x", encoding="utf-8") as file:
            file.write(app.export_screenshot())
    except OSError as error:
        said = f"{place} cannot be written: {error.strerror}."
        app.notify(said, severity="error", markup=False)
    else:
        app.notify(f"screen saved to {place}", markup=False)
