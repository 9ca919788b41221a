"""Messages of the form: requests, and answers of the planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual.message import Message

from engine.protocol import RunSpec
from engine.protocol.datasets import DatasetListing
from vld_tui.study.forecast import Forecast
from vld_tui.study.planner import Network, Preset


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
