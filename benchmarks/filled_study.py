"""A home with a finished study of simulated accuracies, for benchmarks and tests of studies."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from benchmarks.filled_home import write_run
from engine.protocol import (
    NO_TARGET,
    ArmEvaluated,
    DataPrepared,
    DomainInfo,
    Evaluated,
    Event,
    Metric,
    RunFinished,
    RunSpec,
    RunStarted,
)
from engine.protocol.evaluated import EVALUATED
from vld_tui.home import Home
from vld_tui.store.store import Store
from vld_tui.study.define.definition import Study

ARMS = ("averaged", "ensemble")
EVALUATIONS = 5


def fill_study(
    home: Home,
    study: Study,
    *,
    specs: Sequence[RunSpec] | None = None,
    domains: Sequence[str] | None = None,
    arms: Sequence[str] = ARMS,
    has_measures: bool = False,
) -> None:
    """Write the folder of each run of a study, or of ``specs`` of it, and read them.

    ``has_measures``: each measure is recorded too, as half of the accuracy.
    """
    noise = np.random.default_rng(0)
    for index, spec in enumerate(study.specs if specs is None else specs):
        known = domains or (study.domains or {}).get(spec.dataset, ())
        recorded = _events(spec, known, arms, noise)
        if has_measures:
            recorded = list(map(_with_measures, recorded))
        write_run(home.run_dir(f"260101-{index:06d}-aaaa"), spec, index, recorded)
    with Store.open(home) as store:
        store.folders.rebuild()


def _with_measures(event: Event) -> Event:
    """Return an event with every measure, half of the accuracy on each domain."""
    if not isinstance(event, Evaluated | ArmEvaluated):
        return event
    oods = None if event.ood_accuracy is None else event.ood_accuracy / 2
    added = [
        msgspec.structs.replace(each, name=name, value=each.value and each.value / 2)
        for each in event.metrics
        for name in EVALUATED
    ]
    return msgspec.structs.replace(
        event,
        metrics=[*event.metrics, *added],
        measures=dict.fromkeys(EVALUATED, (event.id_accuracy / 2, oods)),
    )


def _events(
    spec: RunSpec, domains: Sequence[str], arms: Sequence[str], noise: np.random.Generator
) -> list[Event]:
    """Return the events of a run; later domains are harder targets."""
    target = None if spec.target == NO_TARGET else spec.target
    recorded: list[Event] = [
        RunStarted(
            protocol_version=2, attempt=1, pid=1, host="bench", resumed_step=None,
            versions={"torch": "2.8.0", "timm": "1.0.20", "python": "3.11.2"}, commit=None,
        ),
        DataPrepared(
            dataset=spec.dataset, target=target, classes=["a", "b"], skipped=[], wall_s=0.1,
            domains=[DomainInfo(name, name == target, 1000, 800, 200) for name in domains],
        ),
    ]  # fmt: skip
    own = "dropout" if spec.dropout_rate > 0 else "erm"
    best: tuple[int, float, float | None] = (0, 0.0, None)
    for number in range(1, EVALUATIONS + 1):
        step = spec.steps * number // EVALUATIONS
        for arm in (own, *arms):
            gain = 0.005 * (arm in ARMS) + 0.02 * spec.dropout_rate
            metrics = _metrics(spec, domains, arm, gain, number, noise)
            ids = [m.value for m in metrics if m.split == "out" and m.domain != target
                   and m.domain != spec.held_out_source]  # fmt: skip
            id_accuracy = float(np.mean([value for value in ids if value is not None]))
            oods = (m.value for m in metrics if (m.split, m.domain) == ("in", target))
            ood_accuracy = next(oods, None)
            recorded.append(
                _evaluation(step, arm, own, metrics, id_accuracy, ood_accuracy, best[1])
            )
            if arm == own and id_accuracy > best[1]:
                best = (step, id_accuracy, ood_accuracy)
    selected, id_accuracy, ood_accuracy = best
    recorded.append(
        RunFinished(
            step=spec.steps, selected_step=selected, id_accuracy=id_accuracy,
            ood_accuracy=ood_accuracy, wall_s=600.0, peak_memory_bytes=2**30,
        )
    )  # fmt: skip
    return recorded


def _evaluation(
    step: int,
    arm: str,
    own: str,
    metrics: list[Metric],
    id_accuracy: float,
    ood_accuracy: float | None,
    best: float,
) -> Event:
    if arm == own:
        return Evaluated(
            step=step, metrics=metrics, id_accuracy=id_accuracy, ood_accuracy=ood_accuracy,
            is_best=id_accuracy > best, wall_s=1.0,
        )  # fmt: skip
    return ArmEvaluated(
        step=step, arm=arm, metrics=metrics, id_accuracy=id_accuracy, ood_accuracy=ood_accuracy,
        is_best=True, wall_s=1.0,
    )  # fmt: skip


def _metrics(
    spec: RunSpec,
    domains: Sequence[str],
    arm: str,
    gain: float,
    number: int,
    noise: np.random.Generator,
) -> list[Metric]:
    """Return the accuracy on each domain: lower if not trained on, and for later domains."""
    metrics = []
    tempered = 0.01 * np.log10(spec.lr / 1e-4)
    for place, name in enumerate(domains):
        is_unseen = name in (spec.target, spec.held_out_source)
        base = 0.9 - 0.04 * place - (0.15 - gain if is_unseen else 0.03 * spec.dropout_rate**3)
        learned = 0.02 * (number - EVALUATIONS) + float(tempered)
        value = float(np.clip(base + learned + noise.normal(0, 0.006), 0.01, 0.999))
        metrics.append(Metric("out", name, arm, "accuracy", value))
        if is_unseen:
            value = float(np.clip(value + noise.normal(0, 0.006), 0.01, 0.999))
            metrics.append(Metric("in", name, arm, "accuracy", value))
    return metrics
