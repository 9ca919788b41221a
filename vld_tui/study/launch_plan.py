"""What launching a study would do."""

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
"""New runs that are made without asking."""


@dataclass(frozen=True)
class LaunchPlan:
    """What a launch would do; ``refusal``: why it cannot be done here."""

    standing: Standing
    cost: StudyCost
    devices: int
    refusal: str | None = None


def plan_launch(store: Store, reference: str) -> LaunchPlan:
    """Return what launching a study would do.

    Raises:
        StudyError: when there is none of this name, or it makes no sense.
        DatasetError, LaunchError: when a data set is not known or cannot be looked into.
        StoreError: when history cannot be read.
    """
    datasets = HomeDatasets(store.home)
    study = find_text(store.home, reference).read(store.home, datasets)
    store.refresh()
    standing = standing_of(store, study)
    return LaunchPlan(
        standing, cost_to_launch(store, standing, datasets), devices_of(store), datasets.refusal
    )


def cost_to_launch(store: Store, standing: Standing, datasets: HomeDatasets) -> StudyCost:
    """Return what the runs that a launch would queue take on this machine."""
    return cost_of(store, standing.to_launch, datasets.known_counts)


def devices_of(store: Store) -> int:
    """Return how many devices the queue has; slots of one share it, and are no faster."""
    return len(set(slots_of(store)))
