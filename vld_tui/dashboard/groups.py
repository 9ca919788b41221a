"""Names of groups of runs, and their points in the ID–OOD plane."""

from __future__ import annotations

from collections.abc import Sequence

from vld_tui.runs.run import Grouping, Key, RunPoint, RunSummary
from vld_tui.study.results.groups import distinctions


def group_names(groups: Sequence[RunSummary], grouping: Grouping) -> list[str]:
    """Return a name for each group that distinguishes it from the others."""
    if grouping.is_by_configuration:
        names = [group.newest.name_without_seed for group in groups]
        told = distinctions(names, [group.newest.spec for group in groups])
        return [f"{name}{each}" for name, each in zip(names, told, strict=True)]
    return [f"{grouping.name} {_key_text(group.key)}" for group in groups]


def group_point(summary: RunSummary, grouping: Grouping, name: str) -> RunPoint | None:
    """Return the mean point of several runs; None before an evaluation."""
    if summary.id_accuracy is None or summary.ood_accuracy is None:
        return None
    run = summary.newest
    is_mixed = "dropout_rate" in run.mixed_fields

    def common(field: str) -> bool:
        return grouping.is_by_configuration or grouping.name == field

    return RunPoint(
        run_id=summary.run_ids[0],
        name=f"{name} ×{summary.runs}",
        id_accuracy=summary.id_accuracy.mean,
        ood_accuracy=summary.ood_accuracy.mean,
        dropout_rate=run.dropout_rate if common("dropout_rate") and not is_mixed else None,
        arm=None,
        target=summary.target,
        model=run.model if common("model") else None,
        dataset=summary.dataset,
        is_augmented=grouping.is_by_configuration and run.spec.augment_validation,
    )


def _key_text(key: Key) -> str:
    return "none" if key is None else f"{key:g}" if isinstance(key, float) else str(key)
