"""Messages of the form, and how it asks the engine about a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual.message import Message

from engine.protocol import RunSpec, SpecError, UserError
from engine.protocol.datasets import DatasetListing, check_target
from vld_tui.launch.datasets import DatasetError
from vld_tui.study.forecast import Forecast
from vld_tui.study.planner import Network, Planner
from vld_tui.study.presets import Preset


@dataclass
class PickAsked(Message):
    """The user wants to pick a field's value from a list."""

    field: str


@dataclass
class DatasetsFound(Message):
    """The known data sets."""

    listings: Sequence[DatasetListing]


@dataclass
class NetworksFound(Message):
    """The known networks; ``remark``: why some may be missing."""

    networks: Sequence[Network]
    remark: str = ""


@dataclass
class PresetsFound(Message):
    """The saved presets; ``said``: what just happened to one."""

    presets: Mapping[str, Preset]
    said: str = ""


@dataclass
class Appraised(Message):
    """The data, the problems and the cost of a planned run.

    ``problems`` are by field.
    """

    spec: RunSpec
    listing: DatasetListing | None
    problems: Mapping[str, str]
    forecast: Forecast


def appraise(planner: Planner, spec: RunSpec) -> Appraised:
    """Look up the run's images and domains, and comparable runs."""
    listing: DatasetListing | None = None
    problems: dict[str, str] = {}
    images = "dataset" if spec.data_dir is None else "data_dir"
    try:
        listing = planner.dataset_of(spec)
        if listing.domains:
            check_target(spec.dataset, [domain.name for domain in listing.domains], spec.target)
        else:  # it cannot be read: the notes give the reason
            problems[images] = " ".join(listing.notes) or f"{spec.dataset} has no images."
    except SpecError as error:
        problems["target"] = str(error)
    except DatasetError as error:
        problems[images] = str(error)
    except UserError:  # the run's own process will report the problem
        listing = None
    try:
        forecast = planner.forecast(spec, listing)
    except UserError:
        forecast = Forecast()
    return Appraised(spec, listing, problems, forecast)


def is_same_choice(one: RunSpec, other: RunSpec) -> bool:
    """Return whether two runs have the same images and target."""
    fields = ("dataset", "data_dir", "layout", "target")
    return all(getattr(one, name) == getattr(other, name) for name in fields)
