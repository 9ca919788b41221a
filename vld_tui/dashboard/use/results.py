"""What came out of using trained runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from engine.protocol.exclude_lists import Decision
from engine.protocol.inference import PredictionsMade
from vld_tui.dashboard.use.orders import (
    EvaluateOrder,
    ExportOrder,
    PredictOrder,
    SuspectsOrder,
    UseKind,
)
from vld_tui.words.numbers import decimal, percent, plural
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from engine.protocol.export import ExportedNetwork
    from vld_tui.control.evaluate import KeptEvaluation
    from vld_tui.control.predict import ImagePrediction
    from vld_tui.control.suspects import FoundSuspects

MOST_KEPT: Final = 8
"""Results that are kept while the dashboard is open."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions for images.

    ``made`` None: the user cancelled, and ``predictions`` are the first ones.
    """

    run_id: str
    order: PredictOrder
    predictions: Sequence[ImagePrediction]
    made: PredictionsMade | None
    notes: Sequence[str] = ()

    @property
    def ood(self) -> str | None:
        """Return the name of the OOD score."""
        return self.order.ood

    @property
    def top(self) -> int:
        """Return the number of classes that were asked for."""
        return self.order.top

    @property
    def title(self) -> str:
        """Return what was classified."""
        where = plain_text(" ".join(self.order.paths))
        return f"predictions for {plural(len(self.predictions), 'image')} of {where}"

    @property
    def remarks(self) -> list[str]:
        """Return what to know of all of them."""
        unlike = sum(bool(each.is_ood) for each in self.predictions)
        unreadable = sum(each.problem is not None for each in self.predictions)
        remarks = [] if self.made is not None else ["cancelled: the other images are missing"]
        if self.made is not None and self.made.threshold is not None:
            above = f"{self.order.ood} score above {decimal(self.made.threshold)}"
            remarks.append(f"▲ {unlike:,} unlike the training images ({above})")
        remarks += [f"{unreadable:,} unreadable"] if unreadable else []
        return [*remarks, *self.notes]


@dataclass(frozen=True, eq=False)
class EvaluatedData:
    """An evaluation on other data."""

    run_id: str
    order: EvaluateOrder
    kept: KeptEvaluation
    notes: Sequence[str] = ()

    @property
    def path(self) -> str:
        """Return where it is stored; empty if it is not."""
        return "" if self.kept.path is None else str(self.kept.path)

    @property
    def title(self) -> str:
        """Return what was evaluated, and the result."""
        evaluation = self.kept.evaluation
        accuracy = percent(evaluation.overall.accuracy.value)
        return f"evaluation {plain_text(evaluation.name)}: accuracy {accuracy}"


@dataclass(frozen=True, eq=False)
class Exported:
    """An exported network."""

    run_id: str
    order: ExportOrder
    network: ExportedNetwork
    notes: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Return what was exported, and where."""
        return f"{self.network.to} export in {plain_text(self.network.folder)}"


@dataclass(frozen=True, eq=False)
class SuspectsFound:
    """Training images whose label may be wrong, and what the user decided on them, by path.

    ``saved``: the decisions that were last saved.
    """

    run_id: str
    order: SuspectsOrder
    found: FoundSuspects
    notes: Sequence[str] = ()
    decisions: dict[str, Decision] = field(default_factory=dict)
    saved: dict[str, Decision] = field(default_factory=dict)

    @property
    def unsaved(self) -> int:
        """Return the number of decisions that are not saved."""
        return sum(self.saved.get(path) != each for path, each in self.decisions.items())

    @property
    def title(self) -> str:
        """Return how many images are suspects."""
        suspects = self.found.suspects
        of_all = plural(suspects.images, "training image")
        return f"{plural(suspects.suspects, 'suspect')} of {of_all}"


UseResult = Predicted | EvaluatedData | SuspectsFound | Exported


class Uses:
    """What was made of runs while the dashboard is open, newest first, and the last inputs."""

    def __init__(self) -> None:
        self._results: list[UseResult] = []
        self.typed: dict[UseKind, Mapping[str, str]] = {}

    def add(self, result: UseResult) -> None:
        """Keep a result, and drop the oldest of many that has no unsaved decisions."""
        self._results.insert(0, result)
        if len(self._results) > MOST_KEPT:
            spare = [
                each
                for each in self._results[1:]
                if not (isinstance(each, SuspectsFound) and each.unsaved)
            ]
            if spare:
                self._results.remove(spare[-1])

    def of_run(self, run_id: str) -> list[UseResult]:
        """Return the results of a run, newest first."""
        return [each for each in self._results if each.run_id == run_id]

    @property
    def unsaved_decisions(self) -> int:
        """Return the number of decisions on suspects that closing the dashboard would lose."""
        return sum(each.unsaved for each in self._results if isinstance(each, SuspectsFound))
