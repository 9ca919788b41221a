"""Results of a study that nobody ran, for numbers worked out by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from vld_tui.runs.metrics import LastEvaluation
from vld_tui.study.results.outcomes import Outcome, Setting

TARGETS = ("art", "cartoon", "photo", "sketch")
RATES = (0.0, 0.9)
CELLS = tuple(itertools.product((1e-3, 5e-4), (1e-4, 5e-5, 1e-5)))
SEEDS = (0, 1, 2)


def setting(rate: float, arm: str | None = None) -> Setting:
    return Setting((("dropout_rate", rate),), arm)


def result(
    target: str = "sketch",
    *,
    rate: float = 0.0,
    arm: str | None = None,
    cell: tuple[float, ...] = (),
    seed: int = 0,
    id_accuracy: float = 0.5,
    ood_accuracy: float = 0.5,
    domains: dict[str, float] | None = None,
    held_out_source: str | None = None,
    last: LastEvaluation | None = None,
    dataset: str = "PACS",
) -> Outcome:
    """Return a result; at the last step it is as at the selected one if nothing is said."""
    return Outcome(
        dataset=dataset,
        target=target,
        setting=setting(rate, arm),
        cell=cell,
        seed=(seed, None),
        run_id=f"{target}-{held_out_source}-{rate:g}-{cell}-{seed}",
        steps=300,
        selected_step=250,
        id_accuracy=id_accuracy,
        ood_accuracy=ood_accuracy,
        domains={target: ood_accuracy} if domains is None else domains,
        held_out_source=held_out_source,
        last=last or LastEvaluation(300, id_accuracy, ood_accuracy, ood_accuracy),
    )


def study(
    *,
    rates: Sequence[float] = RATES,
    cells: Sequence[tuple[float, ...]] = CELLS,
    seeds: Sequence[int] = SEEDS,
    targets: Sequence[str] = TARGETS,
    dataset: str = "PACS",
    with_held_out: bool = False,
    noise_seed: int = 0,
) -> list[Outcome]:
    """Return every result of a study, its accuracies drawn at random; the rate helps a little."""
    noise = np.random.default_rng(noise_seed)
    pairs: list[tuple[str, str | None]] = [(target, None) for target in targets]
    if with_held_out:
        pairs += [*itertools.combinations(targets, 2)]
    found = []
    for (target, held_out), rate, cell, seed in itertools.product(pairs, rates, cells, seeds):
        accuracies = dict(zip(targets, noise.uniform(0.5, 0.9, len(targets)), strict=True))
        accuracies[target] += 0.02 * rate
        sources = [accuracies[each] for each in targets if each not in (target, held_out)]
        found.append(
            result(
                target, rate=rate, cell=cell, seed=seed, id_accuracy=float(np.mean(sources)),
                ood_accuracy=float(accuracies[target]), held_out_source=held_out,
                domains={name: float(value) for name, value in accuracies.items()},
                dataset=dataset,
            )
        )  # fmt: skip
    return found
