"""The plan of launching a study: its cost, and where its runs go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.rundir import write_atomic
from vld_tui.home import Home
from vld_tui.launch.queue.slots import slots_of
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.settings import SlurmSettings, make_settings, settings_as_values
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.files import find_text
from vld_tui.study.define.grid import StudyError
from vld_tui.study.forecast import StudyCost, cost_of
from vld_tui.study.standing import Standing, standing_of

SUFFIX: Final = ".slurm.json"
MOST_UNASKED: Final = 100
"""The most new runs that are launched without confirmation."""


def last_place(home: Home, name: str) -> SlurmSettings | None:
    """Return the study's last job settings, or None if it last ran on this machine.

    Raises:
        StudyError: when they cannot be read.
    """
    path = _path(home, name)
    try:
        return make_settings(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, SlurmError) as error:
        raise StudyError(
            f"Cannot read {path}: {str(error).removesuffix('.')}.\n"
            "Delete it, and choose with --on where the study runs."
        ) from None


def goes_to_cluster(home: Home, name: str) -> bool:
    """Return whether the study was last launched on a cluster."""
    return _path(home, name).exists()


def remember_place(home: Home, name: str, settings: SlurmSettings | None) -> None:
    """Remember where a study was launched; None: on this machine.

    Raises:
        StudyError: when it cannot be written.
    """
    path = _path(home, name)
    try:
        if settings is None:
            path.unlink(missing_ok=True)
        else:
            write_atomic(path, msgspec.json.encode(settings_as_values(settings)))
    except OSError as error:
        raise StudyError(f"Cannot write to {path}: {error.strerror}.") from None


def _path(home: Home, name: str) -> Path:
    return home.studies / f"{name}{SUFFIX}"


@dataclass(frozen=True)
class LaunchPlan:
    """The plan of a launch; ``refusal``: why it is not possible here."""

    standing: Standing
    cost: StudyCost
    devices: int
    refusal: str | None = None


def plan_launch(store: Store, reference: str) -> LaunchPlan:
    """Return the plan of launching a study.

    Raises:
        StudyError: when it does not exist or is invalid.
        DatasetError, LaunchError: when a data set is unknown or cannot be read.
        StoreError: when the history cannot be read.
    """
    datasets = HomeDatasets(store.home)
    study = find_text(store.home, reference).read(store.home, datasets)
    store.live.refresh()
    standing = standing_of(store, study)
    return LaunchPlan(
        standing, cost_to_launch(store, standing, datasets), devices_of(store), datasets.refusal
    )


def cost_to_launch(store: Store, standing: Standing, datasets: HomeDatasets) -> StudyCost:
    """Return the cost on this machine of the runs that a launch would queue."""
    return cost_of(store, standing.to_launch, datasets.known_counts)


def devices_of(store: Store) -> int:
    """Return the number of devices of the queue; slots that share a device are not faster."""
    return len(set(slots_of(store)))
