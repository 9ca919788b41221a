"""Between two networks: their weights, and their representations, mixed in every share.

Along the way of weights the network is (1 − α) A + α B. Interpolating representations puts both
side by side under their last layers, scaled by 1 − α and α, which is (1 − α) times A's logits and
α times B's: Zhang & Bottou, arXiv 2403.00946, figure 1.

From the very network that B's fine-tuning started from, with a last layer that could classify, the
way of weights is WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv
2109.01903. Where B started with a random last layer there is no such network: the way then begins
at a linear probe of the pre-trained one, from which B did not start.

A step is a percent of B.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from torch import Tensor

from engine.combine.averaging import blend
from engine.combine.barrier import describe_barrier
from engine.combine.bench import Bench, Validation
from engine.combine.probe import probe
from engine.combine.start import rebuild_start
from engine.data import DomainData
from engine.data.splits import Indices
from engine.evaluate import Evaluation, Predictor
from engine.protocol import ArmEvaluated, RunFinished
from engine.protocol.combination import INTERPOLATION_STEPS

REPRESENTATIONS = "representations"
"""The arm that mixes what the networks predict."""


def combine(bench: Bench) -> RunFinished:
    """Evaluate weights along the way, then representations, and select on ID validation."""
    ends = (_first_end(bench), bench.parents[-1].weights())
    kept = (KeptPredictions(), KeptPredictions())
    points = bench.combination.points
    steps = [round(INTERPOLATION_STEPS * at / (points - 1)) for at in range(points)]
    found: dict[int, Evaluation] = {}
    selected = steps[0]
    for step in steps:
        began = time.perf_counter()
        predictor = bench.predictor(blend(*ends, _share(step)))
        for keeper, end in zip(kept, (steps[0], steps[-1]), strict=True):
            predictor = keeper.keep(predictor) if step == end else predictor
        found[step] = bench.evaluate(predictor)
        is_best = step == steps[0] or found[step].id_accuracy > found[selected].id_accuracy
        selected = step if is_best else selected
        bench.tell(step, found[step], began, is_best=is_best)
    _tell_barrier(bench, ends, found)
    _mix_representations(bench, kept, steps)
    bench.save(selected, found[selected], blend(*ends, _share(selected)))
    return bench.finish(selected, found[selected])


def _first_end(bench: Bench) -> dict[str, Tensor]:
    match bench.combination.starts_at:
        case "start_of_run":
            return rebuild_start(bench)
        case "linear_probe":
            return probe(bench)
        case None:
            return bench.parents[0].weights()


class KeptPredictions:
    """What a network predicted of each split, for as long as it is mixed with another's."""

    def __init__(self) -> None:
        self._of_split: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = {}

    def keep(self, predictor: Predictor) -> Predictor:
        """Return a predictor that is kept here while it predicts."""

        def predictions(
            domain: DomainData, split: str, indices: Indices
        ) -> Iterator[tuple[Tensor, Tensor]]:
            kept = self._of_split[domain.name, split] = []
            for logits, labels in predictor(domain, split, indices):
                kept.append((logits.cpu(), labels.cpu()))
                yield logits, labels

        return predictions

    def of(self, domain: DomainData, split: str) -> list[tuple[Tensor, Tensor]]:
        """Return the logits and labels, on the processor, in the batches they came in."""
        return self._of_split[domain.name, split]


def _mix_representations(
    bench: Bench, kept: tuple[KeptPredictions, KeptPredictions], steps: list[int]
) -> None:
    """Tell the accuracies of both representations side by side, in every share."""
    best_accuracy = -1.0
    for step in steps:
        began = time.perf_counter()
        bench.stop.raise_if_requested()
        evaluation = bench.evaluate_arm(_mixed(kept, _share(step)), REPRESENTATIONS)
        is_best = evaluation.id_accuracy > best_accuracy
        best_accuracy = max(best_accuracy, evaluation.id_accuracy)
        bench.log.record(
            ArmEvaluated(
                step=step,
                arm=REPRESENTATIONS,
                is_best=is_best,
                wall_s=time.perf_counter() - began,
                **evaluation.reported(),
            )
        )


def _mixed(kept: tuple[KeptPredictions, KeptPredictions], share: float) -> Predictor:
    """Return the predictor that mixes logits, ``share`` of them the second network's."""

    def predictions(
        domain: DomainData, split: str, _indices: Indices
    ) -> Iterator[tuple[Tensor, Tensor]]:
        first, second = (each.of(domain, split) for each in kept)
        for (ours, labels), (theirs, _) in zip(first, second, strict=True):
            yield (1 - share) * ours + share * theirs, labels

    return predictions


def _tell_barrier(
    bench: Bench,
    weights: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    found: Mapping[int, Evaluation],
) -> None:
    """Tell what happens half way, evaluated for this alone where it was not on the way."""
    half = INTERPOLATION_STEPS // 2
    ends = (_validation(found[0]), _validation(found[INTERPOLATION_STEPS]))
    half_way = _validation(found[half]) if half in found else bench.validate(blend(*weights, 0.5))
    first, second = (parent.label for parent in bench.combination.parents)
    bench.log.record(describe_barrier(first, second, ends=ends, half_way=half_way))


def _validation(evaluation: Evaluation) -> Validation:
    return Validation(evaluation.id_accuracy, evaluation.selection_loss)


def _share(step: int) -> float:
    return step / INTERPOLATION_STEPS
