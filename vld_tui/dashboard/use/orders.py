"""What the user asks of a trained run, and the equivalent commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from engine.protocol.inference import At, OodScoreName
from engine.protocol.suspects import NEAR_DISTANCE, QUANTILE

if TYPE_CHECKING:
    from engine.protocol.export import Target

UseKind = Literal["predict", "evaluate", "suspects", "export"]
USES: Final[Mapping[UseKind, str]] = {
    "predict": "classify images of your own",
    "evaluate": "test on other labelled images",
    "suspects": "find training images whose label may be wrong",
    "export": "write the network for other programs: timm, ONNX, torch.export, hub",
}
"""What can be done with a trained run."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """Which network of a run to use; see :class:`engine.protocol.inference.UseOfRun`."""

    arm: str | None = None
    at: At = "best"

    @property
    def options(self) -> list[str]:
        """Return the options of the command."""
        return [
            *(["--arm", self.arm] if self.arm is not None else []),
            *(["--at", self.at] if self.at != "best" else []),
        ]


@dataclass(frozen=True, kw_only=True)
class PredictOrder(Network):
    """Images to classify, and how; see ``vld predict``."""

    paths: tuple[str, ...]
    top: int = 1
    ood: OodScoreName | None = None
    min_probability: float = 0.0
    into: str | None = None

    def words(self, run: str) -> list[str]:
        """Return the equivalent command."""
        return [
            "vld", "predict", run, *self.paths,
            *(["--top", str(self.top)] if self.top != 1 else []),
            *(["--ood", self.ood] if self.ood is not None else []),
            *(["--min-probability", f"{self.min_probability:g}"] if self.min_probability else []),
            *(["--into", self.into] if self.into is not None else []),
            *self.options,
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EvaluateOrder(Network):
    """Labelled images to test on; see ``vld evaluate``."""

    data: str
    domains: tuple[str, ...] = ()
    class_map: Mapping[str, str] = field(default_factory=dict)

    def words(self, run: str) -> list[str]:
        """Return the equivalent command."""
        return [
            "vld", "evaluate", run, self.data,
            *(word for domain in self.domains for word in ("--domain", domain)),
            *(word for old, new in self.class_map.items() for word in ("--map", f"{old}={new}")),
            *self.options,
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExportOrder(Network):
    """How to export a network, and to which folder; see ``vld export``."""

    to: Target
    folder: str
    replaces: bool = False
    push_to: str | None = None

    def words(self, run: str) -> list[str]:
        """Return the equivalent command."""
        return [
            "vld", "export", run, self.folder, "--to", self.to,
            *(["--force"] if self.replaces else []),
            *(["--push", self.push_to] if self.push_to is not None else []),
            *self.options,
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SuspectsOrder:
    """How to find training images whose label may be wrong; see ``vld suspects``."""

    quantile: float = QUANTILE
    near_distance: int = NEAR_DISTANCE

    def words(self, run: str) -> list[str]:
        """Return the equivalent command."""
        return [
            "vld", "suspects", run,
            *(["--quantile", f"{self.quantile:g}"] if self.quantile != QUANTILE else []),
            *(["--near", str(self.near_distance)] if self.near_distance != NEAR_DISTANCE else []),
        ]  # fmt: skip


UseOrder = PredictOrder | EvaluateOrder | SuspectsOrder | ExportOrder
