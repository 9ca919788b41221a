"""Draw the pictures of README and docs from real runs.

    vld --home HOME demo && vld --home HOME run
    python docs/pictures.py HOME [--only PICTURE ...]

Draws screens of the dashboard on a copy of HOME.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from engine.datasets.objects import ARCHIVE
from vld_tui.dashboard.app import make_dashboard
from vld_tui.home import Home, open_home

HERE = Path(__file__).parent
DASHBOARD_SIZE = (120, 36)
START_S, KEY_S = 3.0, 0.5
GROUPED = ("b", *"all", "1.0", "enter", "2.0")
PHOTOS = Path(tempfile.gettempdir()) / "photos"
"""Images to classify: the clip art of the default data set."""
SCREENS = {
    "dashboard": ("space", "space"),
    "groups": GROUPED,
    "plane": (*GROUPED, "b", *"none", "1.0", "enter", "2", "2.0"),
    "compare": ("down", "down", *("space",) * 4, "d", "2.0"),
    "new-run": ("n", "20.0"),
    "run-domains": ("enter", "2", "2.0"),
    "run-samples": ("enter", "4", "2.0"),
    "predictions": ("u", "enter", *str(PHOTOS), "down", "down", *"energy", "ctrl+r", "90.0"),
}
"""The keys that lead to each picture's screen; the newest run is opened."""


async def draw_screen(home: Home, picture: str, keys: Sequence[str]) -> None:
    """Draw the screen that keys lead to; a number among them means seconds to wait."""
    app = make_dashboard(home)
    async with app.run_test(size=DASHBOARD_SIZE) as pilot:
        await pilot.pause(START_S)
        for key in keys:
            await (pilot.pause(float(key)) if "." in key else pilot.press(key))
            await pilot.pause(KEY_S)
        await pilot.pause(START_S)
        (HERE / f"{picture}.svg").write_text(app.export_screenshot(title="vld-tui"))


def draw_screens(home: Home, pictures: Sequence[str]) -> None:
    """Draw screens of the dashboard."""
    for picture in pictures:
        asyncio.run(draw_screen(home, picture, SCREENS[picture]))


def write_photos() -> None:
    """Write some images of the default data set, to classify."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        names = [name for name in archive.namelist() if name.startswith("clipart/")]
        archive.extractall(PHOTOS, names[::5])


def main() -> None:
    """Write the pictures to the folder of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--only", nargs="+", choices=SCREENS, default=list(SCREENS))
    asked = parser.parse_args()
    home = open_home(asked.home)
    write_photos()
    with tempfile.TemporaryDirectory() as folder:  # using the dashboard changes stored preferences
        shutil.copytree(home.path, Path(folder) / "home")
        draw_screens(Home(Path(folder) / "home"), [each for each in SCREENS if each in asked.only])


if __name__ == "__main__":
    main()
