"""Interpolation between two networks A and B, of their weights and of their representations.

Interpolating weights gives the network (1 − α) A + α B. Interpolating representations concatenates
both under their last layers, scaled by 1 − α and α, which is (1 − α) times A's logits plus α times
B's: Zhang & Bottou, arXiv 2403.00946, figure 1.

If A is the network that B's fine-tuning started from, with a trained last layer, weight
interpolation is WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv
2109.01903. If B started with a random last layer, no such network exists; A is then a linear probe
of the pre-trained network, from which B did not start.

Step numbers are percent of B.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from torch import Tensor

from engine.combine.bench import Bench, Validation, describe_barrier
from engine.combine.connectivity import PathPoint, accuracy_barrier, loss_barrier
from engine.combine.parents import ParentRun
from engine.data import DomainData
from engine.data.load import Indices
from engine.errors import InputError
from engine.evaluate import Evaluation, Predictor
from engine.machine.disk import plain_file
from engine.model.interpolation import blend
from engine.protocol import (
    ArmEvaluated,
    Cautioned,
    EventDecodeError,
    HeadTrained,
    RunFinished,
    decode_event,
)
from engine.protocol.combination import INTERPOLATION_STEPS
from engine.protocol.selection import is_better
from engine.rundir import RunDir
from engine.train.last_layer import train_head_on
from engine.train.setup import features_for_head, make_generators

REPRESENTATIONS: Final = "representations"
"""The arm that interpolates representations."""
TOLERANCE: Final = 1e-4
"""Relative difference of losses that is attributed to rounding."""
PROBE_STEPS: Final = 1000
"""Training steps of the last layer on cached features; takes seconds."""


def interpolate(bench: Bench) -> RunFinished:
    """Evaluate interpolated weights, then representations, and select on ID validation."""
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
        is_best = step == steps[0] or is_better(found[step], found[selected])
        selected = step if is_best else selected
        bench.record(step, found[step], began, is_best=is_best)
    _record_barrier(bench, ends, found)
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
    """Stored predictions of a network by domain and split."""

    def __init__(self) -> None:
        self._of_split: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = {}

    def keep(self, predictor: Predictor) -> Predictor:
        """Return a predictor whose predictions are stored here."""

        def predictions(
            domain: DomainData, split: str, indices: Indices
        ) -> Iterator[tuple[Tensor, Tensor]]:
            kept = self._of_split[domain.name, split] = []
            for logits, labels in predictor(domain, split, indices):
                kept.append((logits.cpu(), labels.cpu()))
                yield logits, labels

        return predictions

    def of(self, domain: DomainData, split: str) -> list[tuple[Tensor, Tensor]]:
        """Return the logits and labels on the CPU, in their original batches."""
        return self._of_split[domain.name, split]


def _mix_representations(
    bench: Bench, kept: tuple[KeptPredictions, KeptPredictions], steps: list[int]
) -> None:
    """Evaluate and record the interpolated representations at every step."""
    best: Evaluation | None = None
    for step in steps:
        began = time.perf_counter()
        bench.stop.raise_if_requested()
        evaluation = bench.evaluate_arm(_mixed(kept, _share(step)), REPRESENTATIONS)
        is_best = is_better(evaluation, best)
        best = evaluation if is_best else best
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
    """Return the predictor of interpolated logits; ``share`` is the second network's weight."""

    def predictions(
        domain: DomainData, split: str, _indices: Indices
    ) -> Iterator[tuple[Tensor, Tensor]]:
        first, second = (each.of(domain, split) for each in kept)
        for (ours, labels), (theirs, _) in zip(first, second, strict=True):
            yield (1 - share) * ours + share * theirs, labels

    return predictions


def _record_barrier(
    bench: Bench,
    weights: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    found: Mapping[int, Evaluation],
) -> None:
    """Record the barriers; evaluate the midpoint if it is not one of the steps."""
    half = INTERPOLATION_STEPS // 2
    measured = {step: _validation(evaluation) for step, evaluation in found.items()}
    if half not in measured:
        measured[half] = bench.validate(blend(*weights, 0.5))
    path = [
        PathPoint(_share(step), each.loss, each.id_accuracy)
        for step, each in sorted(measured.items())
    ]
    first, second = (parent.label for parent in bench.combination.parents)
    ends = (measured[0], measured[INTERPOLATION_STEPS])
    barrier = describe_barrier(first, second, ends=ends, half_way=measured[half])
    loss, accuracy = loss_barrier(path), accuracy_barrier(path)
    bench.log.record(
        msgspec.structs.replace(
            barrier,
            path_loss_barrier=None if loss is None else loss.height,
            path_accuracy_barrier=None if accuracy is None else accuracy.height,
        )
    )


def _validation(evaluation: Evaluation) -> Validation:
    return Validation(evaluation.id_accuracy, evaluation.selection_loss, evaluation.selection_score)


def _share(step: int) -> float:
    return step / INTERPOLATION_STEPS


def rebuild_start(bench: Bench) -> dict[str, Tensor]:
    """Return the weights that the last parent had before its first step.

    A run saves its best and its last network, not the first. The first is determined by the
    specification: pre-trained weights and a last layer trained on features, seeded by the run's
    seed.

    On the machine of that run they are bit-identical. This is checked by the recorded loss of the
    last layer; a difference is reported in a ``cautioned`` event. The bench's network must still
    be as built.

    Raises:
        InputError: if the run started with a random last layer.
    """
    parent, network, device = bench.parents[-1], bench.network, bench.execution.device
    state = parent.state
    if parent.spec.head_steps > 0:
        execution = state.execution(device)
        frozen = features_for_head(
            parent.spec, bench.data, network, execution, bench.run_dir, bench.stop,
            bench.phases,
        )  # fmt: skip
        trained = train_head_on(
            bench.data, network, parent.spec, execution, state.feature_rms,
            make_generators(parent.spec, device), bench.stop.raise_if_requested, frozen,
            bench.phases,
        )  # fmt: skip
        bench.log.record(trained)
        if caution := _difference(parent, trained):
            bench.log.record(Cautioned(message=caution))
    elif not network.is_head_trained:
        raise InputError(
            f"Run {parent.run_id} started with a random last layer, so its first network cannot "
            "classify. Interpolate from a linear probe instead: vld combine interpolate "
            f"pretrained {parent.run_id} --probe"
        )
    return bench.weights()


def _difference(parent: ParentRun, trained: HeadTrained) -> str | None:
    """Return a warning if the last layer's training differs from the run's own."""
    before = _head_trained(RunDir(parent.file.parent.parent))
    if before is None or before.loss is None or trained.loss is None:
        return (
            f"Could not verify that the first network of run {parent.run_id} was rebuilt exactly: "
            "its event log lacks the loss of its last layer."
        )
    if abs(trained.loss - before.loss) <= TOLERANCE * abs(before.loss):
        return None
    return (
        f"The first network of run {parent.run_id} was not rebuilt exactly: its last layer has a "
        f"training loss of {trained.loss:.4f} here and {before.loss:.4f} in that run. Devices and "
        "versions draw different masks; interpolate on the machine that trained the run."
    )


def _head_trained(run_dir: RunDir) -> HeadTrained | None:
    """Return the latest recorded training of a run's last layer."""
    found = None
    try:
        with open(run_dir.events, "rb", opener=plain_file) as file:
            for line in file:
                if b'"head_trained"' not in line:
                    continue
                event = decode_event(line)
                found = event if isinstance(event, HeadTrained) else found
    except (OSError, EventDecodeError):
        return None
    return found


def probe(bench: Bench) -> dict[str, Tensor]:
    """Train the last layer without dropout and return the network's weights.

    The network must still be the pre-trained one.
    """
    device = bench.execution.device
    spec = msgspec.structs.replace(
        bench.spec, dropout_rate=0.0, masks=1, head_steps=PROBE_STEPS, views=None
    )
    trained = train_head_on(
        bench.data, bench.network, spec, bench.execution, bench.feature_rms,
        make_generators(spec, device), bench.stop.raise_if_requested, phases=bench.phases,
    )  # fmt: skip
    bench.log.record(trained)
    return bench.weights()
