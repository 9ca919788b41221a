"""A run's progress: its events folded into an immutable snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from engine.protocol import (
    AnglesMeasured,
    ArmEvaluated,
    BarrierMeasured,
    Cautioned,
    CheckpointSaved,
    CollapseDetected,
    DataPrepared,
    Evaluated,
    Event,
    FeaturesComputed,
    HeadTrained,
    Metric,
    ModelPrepared,
    ParentMeasured,
    ParentTried,
    PhaseReported,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StepsTaken,
    SystemSampled,
)
from engine.protocol.selection import best_of

MAX_LOSSES = 512
"""Maximum loss readings before they are thinned out."""
MAX_EVALUATIONS = 1024
"""Maximum evaluations before they are thinned out; the best one is kept."""


E = TypeVar("E", Evaluated, ArmEvaluated)


class LossReading(msgspec.Struct, frozen=True):
    """The mean training loss (nats) up to ``step``."""

    step: int
    loss: float | None


class Progress(msgspec.Struct, frozen=True):
    """The state of the live view. None: not known yet. ``heard_at``: time of the last event."""

    heard_at: float | None = None
    started: RunStarted | None = None
    data: DataPrepared | None = None
    phase: PhaseReported | None = None
    features: FeaturesComputed | None = None
    model: ModelPrepared | None = None
    head: HeadTrained | None = None
    latest: StepsTaken | None = None
    losses: tuple[LossReading, ...] = ()
    evaluations: tuple[Evaluated, ...] = ()
    arms: Mapping[str, tuple[ArmEvaluated, ...]] = {}
    checkpoint: CheckpointSaved | None = None
    collapse: CollapseDetected | None = None
    cautions: tuple[Cautioned, ...] = ()
    parents: tuple[ParentMeasured, ...] = ()
    tried: tuple[ParentTried, ...] = ()
    barriers: tuple[BarrierMeasured, ...] = ()
    angles: AnglesMeasured | None = None
    end: RunFinished | RunStopped | RunFailed | None = None

    @property
    def step(self) -> int:
        """Return the number of known weight updates."""
        resumed = (self.started and self.started.resumed_step) or 0
        evaluated = self.evaluations[-1].step if self.evaluations else 0
        stepped = 0
        if self.phase is not None and self.phase.phase == "training":
            stepped = self.phase.done or 0
        return max(self.latest.step if self.latest else resumed, evaluated, stepped)

    @property
    def recovered_step(self) -> int | None:
        """Return the first evaluated step after the collapse without a collapse."""
        if self.collapse is None:
            return None
        after = (each for each in self.evaluations if each.step > self.collapse.step)
        return next((each.step for each in after if each.collapsed is False), None)

    @property
    def selected(self) -> Evaluated | None:
        """Return the best evaluation on ID validation so far."""
        return best_of(self.evaluations)

    @classmethod
    def told_by(cls, events: Iterable[Event]) -> Progress:
        """Return the progress after these events, oldest first."""
        progress = cls()
        for event in events:
            progress = progress.after(event)
        return progress

    def after(self, event: Event) -> Progress:
        """Return the snapshot after ``event``.

        A resumed run repeats steps, whose earlier values are replaced.
        """
        changes: dict[str, object]
        heard_at = event.time or self.heard_at
        match event:
            case RunStarted():
                return self._taken_up(event)
            case SystemSampled():  # says nothing of the progress
                return self
            case PhaseReported():
                return msgspec.structs.replace(self, heard_at=heard_at, phase=event)
            case StepsTaken():
                changes = {"latest": event, "losses": _with_loss(self.losses, event)}
            case Evaluated():
                changes = {"evaluations": _with_evaluation(self.evaluations, event)}
            case ArmEvaluated():
                of_arm = _with_evaluation(self.arms.get(event.arm, ()), event)
                changes = {"arms": {**self.arms, event.arm: of_arm}}
            case Cautioned() | ParentMeasured() | ParentTried() | BarrierMeasured():
                collected = _COLLECTED_IN[type(event)]
                changes = {collected: (*getattr(self, collected), event)}
            case _:
                field = _FIELD_OF.get(type(event))
                changes = {field: event} if field else {}
        if self.phase is not None and event.seq > self.phase.seq:  # events may come out of order
            changes["phase"] = None
        return msgspec.structs.replace(self, heard_at=heard_at, **changes)

    def _taken_up(self, event: RunStarted) -> Progress:
        """Drop values that the new attempt will report again."""
        if event.resumed_step is None:
            return Progress(heard_at=event.time, started=event)
        kept = event.resumed_step
        return Progress(
            heard_at=event.time,
            started=event,
            head=self.head,
            losses=tuple(each for each in self.losses if each.step <= kept),
            evaluations=tuple(each for each in self.evaluations if each.step <= kept),
            arms={
                arm: tuple(each for each in evaluations if each.step <= kept)
                for arm, evaluations in self.arms.items()
            },
            checkpoint=self.checkpoint,
            collapse=self.collapse if self.collapse and self.collapse.step <= kept else None,
        )

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds to the end at Unix time ``now``, from the latest estimate."""
        for source in (self.latest, self.model):
            if source is not None and source.seconds_left is not None:
                return max(0.0, source.seconds_left - (now - source.time))
        return None

    def domains(self) -> list[tuple[str, bool]]:
        """Return each domain with whether it is the target; sources first."""
        if self.data is None:
            return []
        named = [(domain.name, domain.is_target) for domain in self.data.domains]
        return sorted(named, key=lambda pair: pair[1])


_FIELD_OF: dict[type[Event], str] = {
    DataPrepared: "data",
    FeaturesComputed: "features",
    ModelPrepared: "model",
    HeadTrained: "head",
    AnglesMeasured: "angles",
    CheckpointSaved: "checkpoint",
    CollapseDetected: "collapse",
    RunFinished: "end",
    RunStopped: "end",
    RunFailed: "end",
}
"""Events of which only the latest counts."""


_COLLECTED_IN: dict[type[Event], str] = {
    Cautioned: "cautions",
    ParentMeasured: "parents",
    ParentTried: "tried",
    BarrierMeasured: "barriers",
}
"""Events that all count."""


def domain_accuracy(
    evaluation: Evaluated | ArmEvaluated, domain: str, *, is_target: bool
) -> float | None:
    """Return a domain's reported accuracy.

    A source's comes from its held-out ``out`` split, the target's from its ``in`` split.
    """
    split = "in" if is_target else "out"
    wanted = (split, domain, "accuracy")
    return next((m.value for m in evaluation.metrics if _key(m) == wanted), None)


def _key(metric: Metric) -> tuple[str, str, str]:
    return metric.split, metric.domain, metric.name


def _with_loss(losses: tuple[LossReading, ...], event: StepsTaken) -> tuple[LossReading, ...]:
    earlier = losses
    if losses and losses[-1].step >= event.step:
        earlier = tuple(each for each in losses if each.step < event.step)
    if len(earlier) >= MAX_LOSSES:
        earlier = earlier[::2]
    return (*earlier, LossReading(event.step, event.loss))


def _with_evaluation(evaluations: tuple[E, ...], event: E) -> tuple[E, ...]:
    kept: list[E] = list(evaluations)
    if kept and kept[-1].step >= event.step:
        kept = [each for each in kept if each.step < event.step]
    if len(kept) >= MAX_EVALUATIONS:
        best = best_of(kept)
        kept = [each for at, each in enumerate(kept) if at % 2 == 0 or each is best]
    kept.append(event)
    return tuple(kept)
