"""Clients of other experiment trackers, one module each; no other package imports a client.

A client is an optional package and slow to import, so it is imported when its tracker is opened.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.protocol import nearest
from engine.protocol.extras import install_command
from vld_tui.trackers.tracker import Destination, Tracker, TrackerError

_SPELLINGS: Final = {"dir": "--dir", "uri": "--uri", "project": "--project", "offline": "--offline"}


class TrackerInfo(NamedTuple):
    """A tracker: its title, and the parts of a destination it has.

    Its module and the extra that installs the client have its name.
    """

    title: str
    parts: tuple[str, ...]


TRACKERS: Final[Mapping[str, TrackerInfo]] = {
    "wandb": TrackerInfo("Weights & Biases", ("project", "dir", "offline")),
    "mlflow": TrackerInfo("MLflow", ("project", "uri")),
    "tensorboard": TrackerInfo("TensorBoard", ("dir",)),
    "trackio": TrackerInfo("Trackio", ("project", "dir")),
}
"""Every tracker by name."""


def open_tracker(name: str, destination: Destination) -> Tracker:
    """Return a tracker, ready to receive runs.

    Raises:
        TrackerError: for an unknown name, a part of the destination that it does not have, or a
            missing client.
    """
    info = TRACKERS.get(name)
    if info is None:
        raise TrackerError(
            f"No tracker {name!r}.{nearest(name, TRACKERS)}\nTrackers: {', '.join(TRACKERS)}."
        )
    for part, option in _SPELLINGS.items():
        if getattr(destination, part) and part not in info.parts:
            known = ", ".join(_SPELLINGS[each] for each in info.parts)
            raise TrackerError(f"{info.title} has no {option}. Its options: {known}.")
    try:
        module = importlib.import_module(f"vld_tui.trackers.{name}")
        tracker: Tracker = module.open_tracker(destination)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        if missing == "vld_tui":
            raise
        raise TrackerError(
            f"Pushing to {info.title} needs the package {missing}, which is not installed.\n"
            f"Install it with: {install_command(name)}"
        ) from None
    return tracker
