"""What parts of the form tell one another, and what workers found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual.message import Message

from engine.protocol import RunSpec
from engine.protocol.datasets import DatasetListing
from vld_tui.study.forecast import Forecast
from vld_tui.study.planner import Network
from vld_tui.study.presets import Preset


@dataclass
class PickAsked(Message):
    """A person wants to pick a field's value from a list."""

    field: str


@dataclass
class DatasetsFound(Message):
    """These data sets are known by name."""

    listings: Sequence[DatasetListing]


@dataclass
class NetworksFound(Message):
    """These networks are known; ``told``: why they may not be all."""

    networks: Sequence[Network]
    told: str = ""


@dataclass
class PresetsFound(Message):
    """These presets were kept; ``said``: what was just done to one."""

    presets: Mapping[str, Preset]
    said: str = ""


@dataclass
class Appraised(Message):
    """It is known what a run would be made of, why it cannot be, and what it would take.

    ``problems`` are by field.
    """

    spec: RunSpec
    listing: DatasetListing | None
    problems: Mapping[str, str]
    forecast: Forecast
