"""Gather the results of a study's runs from the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from engine.protocol import RunSpec
from vld_tui.runs.metrics import LastEvaluation
from vld_tui.runs.run import ArmResult, Run, own_result
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study
from vld_tui.study.results.outcomes import Design, Outcome, Setting
from vld_tui.study.standing import Standing

FINISHED: Final = "finished"
NOT_STARTED: Final = "not started"


class Coverage(NamedTuple):
    """How many runs of one cell of a study have finished.

    ``held_out_source``: for runs with a held-out source. ``others`` counts what is
    missing by its status.
    """

    dataset: str
    target: str
    setting: Setting
    has_held_out_source: bool
    asked: int
    finished: int
    others: Mapping[str, int]

    @property
    def missing(self) -> int:
        """Return how many are missing."""
        return self.asked - self.finished


class Gathered(NamedTuple):
    """A study and its results; ``runs`` are those that count, in the study's order."""

    study: Study
    design: Design
    runs: tuple[Run, ...]
    results: tuple[Outcome, ...]
    coverage: tuple[Coverage, ...]

    @property
    def asked(self) -> int:
        """Return how many runs the study has."""
        return sum(each.asked for each in self.coverage)


def gather(store: Store, study: Study) -> Gathered:
    """Return the results of a study's finished runs, and how many are missing.

    Of several finished runs of one identity the newest counts.

    Raises:
        StoreError: when the history cannot be read.
    """
    design = Design.of(study.specs, study.compare, study.choose)
    known = store.runs.by_identity(study.identities)
    counted: list[tuple[RunSpec, Run]] = []
    statuses: dict[tuple[str, str, Setting, bool], Counter[str]] = {}
    for spec, identity in zip(study.specs, study.identities, strict=True):
        runs = known.get(identity, [])
        finished = [run for run in runs if run.status == FINISHED and own_result(run) is not None]
        place = (spec.dataset, str(spec.target), design.setting(spec), bool(spec.held_out_source))
        status = FINISHED if finished else runs[-1].status if runs else NOT_STARTED
        statuses.setdefault(place, Counter())[status] += 1
        if finished:
            counted.append((spec, finished[-1]))
    coverage = tuple(
        Coverage(
            *place,
            asked=found.total(),
            finished=found[FINISHED],
            others={name: count for name, count in found.items() if name != FINISHED},
        )
        for place, found in statuses.items()
    )
    run_ids = [run.run_id for _, run in counted]
    results = outcomes_of(
        design, counted, store.series.arms(run_ids), store.series.last_evaluations(run_ids)
    )
    return Gathered(study, design, tuple(run for _, run in counted), results, coverage)


def outcomes_of(
    design: Design,
    counted: Iterable[tuple[RunSpec, Run]],
    arms: Mapping[str, Sequence[ArmResult]],
    last: Mapping[tuple[str, str], LastEvaluation],
) -> tuple[Outcome, ...]:
    """Return an outcome for each arm of each run.

    Args:
        design: what the study compares and chooses.
        counted: the finished runs, with the specs that the study has for them.
        arms: results of additional arms, by run.
        last: results at the last step, by run and arm.
    """
    found = []
    for spec, run in counted:
        own = own_result(run)
        beside = [each for each in arms.get(run.run_id, ()) if each.arm != run.arm]
        found += [
            _outcome(design, spec, run, each, last.get((run.run_id, each.arm)))
            for each in ((own, *beside) if own else beside)
        ]
    return tuple(found)


def outcomes_so_far(
    standing: Standing, arms: Mapping[str, Sequence[ArmResult]]
) -> tuple[Outcome, ...]:
    """Return the outcomes of the finished runs of a study, without those at the last step."""
    study = standing.study
    counted = (
        (spec, run)
        for spec, run in zip(study.specs, standing.runs, strict=True)
        if run is not None and run.status == FINISHED
    )
    design = Design.of(study.specs, study.compare, study.choose)
    return outcomes_of(design, counted, arms, {})


def _outcome(
    design: Design, spec: RunSpec, run: Run, reached: ArmResult, last: LastEvaluation | None
) -> Outcome:
    arm = None if reached.arm == run.arm else reached.arm
    return Outcome(
        dataset=spec.dataset,
        target=str(spec.target),
        setting=design.setting(spec, arm),
        cell=design.cell(spec),
        seed=(spec.seed, spec.trial_seed),
        run_id=run.run_id,
        steps=spec.steps,
        selected_step=reached.selected_step,
        id_accuracy=reached.id_accuracy,
        ood_accuracy=reached.ood_accuracy,
        domains=reached.domains,
        held_out_source=spec.held_out_source,
        last=last,
        measures=reached.measures,
    )
