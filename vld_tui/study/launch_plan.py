"""Plan the launch of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vld_tui.launch.queue.slots import slots_of
from vld_tui.store.store import Store
from vld_tui.study.cost import StudyCost, cost_of
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.files import find_text
from vld_tui.study.standing import Standing, standing_of

MOST_UNASKED: Final = 100
"""The most new runs that are launched without confirmation."""


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
