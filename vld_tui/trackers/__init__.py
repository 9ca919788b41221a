"""Clients of other experiment trackers, one module each; no other package imports a client.

A client is an optional package and slow to import, so it is imported when its tracker is opened.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.protocol.extras import install_command
from vld_tui.trackers.tracker import Destination, FoundRun, Tracker, TrackerError

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

READABLE: Final = ("tensorboard", "wandb")
"""Trackers whose files can be read."""


def open_tracker(name: str, destination: Destination) -> Tracker:
    """Return a tracker of ``TRACKERS``, ready to receive runs.

    Raises:
        TrackerError: for a part of the destination that it does not have, or a missing client.
    """
    info = TRACKERS[name]
    for part, option in _SPELLINGS.items():
        if getattr(destination, part) and part not in info.parts:
            known = ", ".join(_SPELLINGS[each] for each in info.parts)
            raise TrackerError(f"{info.title} has no {option}. Its options: {known}.")
    with _client_of(name) as module:
        tracker: Tracker = module.open_tracker(destination)
    return tracker


def read_runs(name: str, folder: Path) -> list[FoundRun]:
    """Return the runs in the files of a tracker of ``READABLE`` below a folder.

    Raises:
        TrackerError: for a missing client, or a damaged file.
    """
    if not folder.is_dir():
        raise TrackerError(f"{folder} is not a folder.")
    with _client_of(name) as module:
        try:
            return list(module.read_runs(folder))
        except OSError as error:
            raise TrackerError(f"Cannot read {error.filename}: {error.strerror}.") from None


@contextlib.contextmanager
def _client_of(name: str) -> Iterator[Any]:
    """Yield a tracker's module; report a missing package."""
    try:
        yield importlib.import_module(f"vld_tui.trackers.{name}")
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        if missing == "vld_tui":
            raise
        raise TrackerError(
            f"{TRACKERS[name].title} needs the package {missing}, which is not installed.\n"
            f"Install it with: {install_command(name)}"
        ) from None
