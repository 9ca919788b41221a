"""How far the target of a run is from its sources, and where: ``vld shift``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from engine.diagnose.arm_predictions import ArmOnTarget
from engine.diagnose.detection import Detection, measure_detection
from engine.diagnose.effective_robustness import Accuracies, RobustnessLine
from engine.diagnose.found import Found, finding
from engine.diagnose.ood_scores import ClassDensities, nearest_neighbours, neighbour_score
from engine.diagnose.other_seed import NO_OTHER_SEED, OtherSeed
from engine.diagnose.probe import Probe, areas_by_domain, probe_shift
from engine.diagnose.run_features import DomainFeatures, RunFeatures, SplitFeatures
from engine.diagnose.sliced_wasserstein import Distance, DomainDistances, domain_distances
from engine.diagnose.support import PartOfTarget, Support, split_by_support
from engine.diagnose.verdict import distance_sentence, verdict_on
from engine.errors import InputError
from engine.evaluate.confidence import OOD_SCORED
from engine.protocol.diagnostics import Cell, Finding, FindingTable, Settings
from engine.protocol.intervals import Interval
from engine.protocol.measures import Summary


def _probe(run: RunFeatures, settings: Settings) -> Found:
    target = _target_of(run)
    sources = [each.before_training for each in _all_sources(run)]
    predicted = [ArmOnTarget(run.arm, run.step, target.is_right), *run.arms.found]
    found = probe_of(
        sources, target.before_training, settings, predicted, id_accuracy=run.accuracies[0]
    )
    return replace(found, notes=(*found.notes, *run.arms.notes))


def probe_of(
    sources: Sequence[DomainFeatures],
    target: DomainFeatures,
    settings: Settings,
    predicted: Sequence[ArmOnTarget] = (),
    *,
    id_accuracy: float | None = None,
) -> Found:
    """Return how well a probe separates the target from the sources, and its support.

    ``predicted`` are the predictions of a run's network, then of its additional arms, and
    ``id_accuracy`` is of the network; without them there is no run.
    """
    probe = probe_shift(
        torch.cat([each.features for each in sources]),
        target.features,
        folds=int(settings["folds"]),
        seed=int(settings["seed"]),
        groups=_groups(sources, target),
    )
    of_arms: list[Tensor | None] = [each.is_right for each in predicted]
    supports = [
        split_by_support(
            probe.target_log_ratio, is_right, epsilon=settings["epsilon"], groups=target.groups
        )
        for is_right in of_arms or [None]
    ]
    support = supports[0]  # of the run's own network
    values: Summary = {
        "target_auc": (None, probe.area.value),
        "out_of_support": (None, support.out_share),
        "inside_accuracy": (None, support.inside.accuracy),
        "outside_accuracy": (None, support.outside.accuracy),
    }
    return Found(
        values,
        tuple(_probe_findings(probe, support, target)),
        {
            "support": _arms_table(predicted, supports) if predicted else _support_table(support),
            "sources": _areas_table(probe, sources),
        },
        probe.notes,
        verdict_on(probe.area, support, id_accuracy=id_accuracy).text,
    )


def _probe_findings(probe: Probe, support: Support, target: DomainFeatures) -> list[Finding]:
    area = probe.area
    found = [
        finding(target, "target_auc", area.value, Interval(area.low, area.high)),
        finding(target, "out_of_support", support.out_share),
    ]
    if not support.has_predictions:
        return found
    return [
        *found,
        finding(target, "inside_accuracy", support.inside.accuracy, support.inside.interval),
        finding(target, "outside_accuracy", support.outside.accuracy, support.outside.interval),
    ]


def _support_table(support: Support) -> FindingTable:
    parts = (("in support", support.inside), ("out of support", support.outside))
    counts = tuple((name, part.images) for name, part in parts)
    return FindingTable("The target's images by support", ("target images", "images"), counts)


def _arms_table(predicted: Sequence[ArmOnTarget], supports: Sequence[Support]) -> FindingTable:
    """Return the accuracies of each arm in and out of the sources' support."""
    rows: list[tuple[Cell, ...]] = [
        (each.arm, each.step, *_accuracy_cells(support.inside), *_accuracy_cells(support.outside))
        for each, support in zip(predicted, supports, strict=True)
    ]
    values = ("n", "correct", "accuracy", "low", "high")
    columns = (
        "prediction", "step",
        *(f"{name} in" for name in values), *(f"{name} out" for name in values),
    )  # fmt: skip
    title = "Accuracy on the target in and out of support, with 95% intervals"
    return FindingTable(title, columns, tuple(rows))


def _accuracy_cells(part: PartOfTarget) -> tuple[Cell, ...]:
    low, high = part.interval or (None, None)
    return part.images, part.correct, part.accuracy, low, high


def _areas_table(probe: Probe, sources: Sequence[DomainFeatures]) -> FindingTable:
    """Return the area of the target against each source."""
    rows: dict[str, list[Tensor]] = {}
    start = 0
    for each in sources:
        rows.setdefault(each.domain, []).append(torch.arange(start, start + each.images))
        start += each.images
    areas = areas_by_domain(probe, {name: torch.cat(parts) for name, parts in rows.items()})
    return FindingTable(
        "AUC of the target against each source",
        ("source", "AUC", "low", "high"),
        tuple((name, *area) for name, area in areas.items()),
    )


def _robustness(run: RunFeatures, _settings: Settings) -> Found:
    target = _target_of(run)
    of_id, _ = run.accuracies
    name = "effective_robustness"
    try:
        line = RobustnessLine.fit([Accuracies(*each) for each in run.scratch])
    except InputError as error:  # no problem of the run
        return Found({name: (None, None)}, (finding(target, name, None),), notes=(str(error),))
    found = line.judge(Accuracies(of_id, target.accuracy))
    row = (line.runs, line.slope, line.intercept, line.r_squared, found.expected, *found.interval)
    columns = ("runs", "slope", "intercept", "R²", "expected OOD", "low", "high")
    beyond = "outside" if found.is_beyond_chance else "inside"
    notes = [f"OOD accuracy is {beyond} the 95% interval for a run from scratch."]
    if found.is_extrapolated:
        notes.append(
            "ID accuracy is outside the range of the runs from scratch: the line is extrapolated."
        )
    return Found(
        {name: (None, found.points / 100)},
        (finding(target, name, found.points / 100),),
        {"line": FindingTable("Line of runs from scratch, in probits", columns, (row,))},
        tuple(notes),
    )


def _distances(run: RunFeatures, settings: Settings) -> Found:
    sources = [each.before_training for each in _all_sources(run)]
    return distances_of(sources, _target_of(run).before_training, settings)


def distances_of(
    sources: Sequence[DomainFeatures], target: DomainFeatures, settings: Settings
) -> Found:
    """Return the distances of the target and the sources to each other."""
    by_domain: dict[str, list[Tensor]] = {}
    for each in sources:
        by_domain.setdefault(each.domain, []).append(each.features)
    distances = domain_distances(
        {name: torch.cat(parts) for name, parts in by_domain.items()},
        {target.domain: target.features},
        projections=int(settings["projections"]),
        splits=int(settings["splits"]),
        seed=int(settings["seed"]),
    )
    of_sources = [distances.to_sources[each] for each in by_domain if each in distances.to_sources]
    mean = sum(each.value for each in of_sources) / len(of_sources) if of_sources else None
    to_target = distances.to_sources[target.domain]
    return Found(
        {"wasserstein": (mean, to_target.value)},
        (finding(target, "wasserstein", to_target.value),),
        {"to_sources": _to_sources_table(distances), "between": _matrix(distances)},
        distances.notes,
        distance_sentence(distances, target.domain),
    )


def _to_sources_table(distances: DomainDistances) -> FindingTable:
    rows = tuple(
        (name, each.value, each.chance, each.p_value) for name, each in distances.to_sources.items()
    )
    title = "Distance of each domain to the (other) sources, and 95% quantile by chance"
    return FindingTable(title, ("domain", "distance", "by chance", "p"), rows)


def _matrix(distances: DomainDistances) -> FindingTable:
    names = (*distances.sources, *distances.targets)

    def value(one: str, other: str) -> float:
        found: Distance | None = None if one == other else distances.of(one, other)
        return 0.0 if found is None else found.value

    rows: list[tuple[Cell, ...]] = [(one, *(value(one, other) for other in names)) for one in names]
    return FindingTable("Distances between domains", ("domain", *names), tuple(rows))


def _detection(run: RunFeatures, settings: Settings) -> Found:
    target, held_out = _target_of(run), run.sources("out")
    training = run.sources("in")
    features = torch.cat([each.features for each in training])
    densities = ClassDensities.fit(
        features, torch.cat([each.labels for each in training]), len(run.classes)
    )
    neighbours = int(settings["neighbours"])
    scored: dict[str, Callable[[SplitFeatures], Tensor]] = {
        **{name: _of_logits(score) for name, score in OOD_SCORED.items()},
        "gaussian": lambda each: densities.gaussian(each.features),
        "student": lambda each: densities.student(each.features, settings["degrees"]),
        "neighbours": lambda each: neighbour_score(
            nearest_neighbours(each.features, features, neighbours)
        ),
    }
    if run.other_seed is not None:
        scored["agreement"] = _of_two_seeds(run.other_seed, training, neighbours)
    if target.abstaining is not None:
        scored["abstain"] = _abstaining
    is_right = target.is_right
    found = {
        name: measure_detection(
            torch.cat([score(each) for each in held_out]), score(target), is_right
        )
        for name, score in scored.items()
    }
    areas = {f"auroc_{name}": each.roc and each.roc.value for name, each in found.items()}
    for name in ("auroc_agreement", "auroc_abstain"):
        areas.setdefault(name, None)
    return Found(
        {name: (None, area) for name, area in areas.items()},
        tuple(
            finding(target, f"auroc_{name}", each.roc.value, Interval(each.roc.low, each.roc.high))
            for name, each in found.items()
            if each.roc is not None
        ),
        {"scores": _scores_table(found), "risk_coverage": _risk_coverage_table(found)},
        (*densities.notes, *_notes_on_seeds(run.other_seed, held_out)),
    )


def _of_two_seeds(
    other: OtherSeed, training: Sequence[SplitFeatures], neighbours: int
) -> Callable[[SplitFeatures], Tensor]:
    """Return the score of the neighbours in both networks' features.

    Neighbours are training images of the run; the other seed may have held some of them out.
    """
    rows = torch.cat([each.rows for each in training])
    features = torch.cat([each.features for each in training])

    def score(each: SplitFeatures) -> Tensor:
        return neighbour_score(
            nearest_neighbours(each.features, features, neighbours),
            nearest_neighbours(other.features[each.rows], other.features[rows], neighbours),
        )

    return score


def _notes_on_seeds(other: OtherSeed | None, held_out: Sequence[SplitFeatures]) -> Iterator[str]:
    if other is None:
        yield f"Score agreement: {NO_OTHER_SEED[0].lower()}{NO_OTHER_SEED[1:]}"
        return
    yield f"Score agreement: the other seed is run {other.run_id}."
    rows = torch.cat([each.rows for each in held_out])
    trained = int(other.is_trained[rows].sum())
    if trained:
        yield (
            f"Score agreement: the other seed was trained on {trained:,} of the {len(rows):,} "
            "validation images, so its AUROC is too high. For the same split: --trial-seed in both "
            "runs."
        )


def _abstaining(images: SplitFeatures) -> Tensor:
    if images.abstaining is None:
        raise AssertionError("all splits of a run have it if one does")
    return images.abstaining


def _of_logits(score: Callable[[Tensor], Tensor]) -> Callable[[SplitFeatures], Tensor]:
    return lambda each: score(each.logits.double())


def _scores_table(found: Mapping[str, Detection]) -> FindingTable:
    columns = ("score", "AUROC", "FPR at 95% TPR", "error AUROC", "Spearman", "risk–coverage area")
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            None if each.roc is None else each.roc.value,
            each.fpr,
            None if each.errors_roc is None else each.errors_roc.value,
            each.correlation,
            each.risk_coverage.area,
        )
        for name, each in found.items()
    ]
    return FindingTable("OOD scores on the target", columns, tuple(rows))


def _risk_coverage_table(found: Mapping[str, Detection]) -> FindingTable:
    curves = [each.risk_coverage for each in found.values()]
    columns = [curves[0].coverage, *(each.risk for each in curves)]
    rows: list[tuple[Cell, ...]] = [*zip(*columns, strict=True)]
    return FindingTable("Error rate by share of images kept", ("kept", *found), tuple(rows))


def _target_of(run: RunFeatures) -> SplitFeatures:
    """Return the images of OOD accuracy.

    Raises:
        InputError: if no domain was left out.
    """
    if run.target is None:
        raise InputError(
            f"Run {run.run_id} has no target domain, so there is no shift to measure. Use a run "
            "that leaves a domain out (--target)."
        )
    return run.target


def _all_sources(run: RunFeatures) -> list[SplitFeatures]:
    return [each for each in run.splits if not each.is_target]


def _groups(
    sources: Sequence[DomainFeatures], target: DomainFeatures
) -> tuple[Tensor, Tensor] | None:
    """Return the groups of the sources' and of the target's images; None: there are none."""
    of_sources = [each.groups for each in sources if each.groups is not None]
    if target.groups is None or len(of_sources) < len(sources):
        return None
    return torch.cat(of_sources), target.groups


SHIFT: Final[Mapping[str, Callable[[RunFeatures, Settings], Found]]] = {
    "probe": _probe,
    "robustness": _robustness,
    "distances": _distances,
    "detection": _detection,
}
"""How the diagnostics of ``vld shift`` are computed."""
