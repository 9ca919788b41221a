"""The row on a complete run: engine and authors' loop on the same batches and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.datasets.folder import default_loader

from benchmarks.parity.data import load, paper_spec
from benchmarks.parity.images import DOMAINS, TARGET, save_domains
from benchmarks.parity.reference import data as their_data
from benchmarks.parity.reference import loop as theirs
from benchmarks.parity.reference.training import Erm, Hyperparameters, accuracy
from benchmarks.parity.row import Row, difference_text
from benchmarks.parity.updates import resnet18_of
from engine.protocol import AnyEvent, ArmEvaluated, Evaluated, RunFinished, RunSpec, decode_event
from engine.run import run
from engine.rundir import RunDir, UserData
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest
from engine.train.setup import prepare

SIZE: Final = 32
HPARAMS: Final = Hyperparameters(
    lr=2e-2, milestones=(9, 12), average_from=3, steps=13, checkpoint_every=3
)
RUN: Final[dict[str, object]] = {
    "model": "resnet18", "image_size": SIZE, "batch_size": 8, "transforms": "batch",
    "precision": "fp32", "lr": HPARAMS.lr, "lr_drops": list(HPARAMS.milestones),
    "steps": HPARAMS.steps, "eval_from": 1, "eval_every": HPARAMS.checkpoint_every,
    "average_from": HPARAMS.average_from + 1, "augment_validation": False,
}  # fmt: skip

Key = tuple[int, str, str, str]
"""Updates, arm, domain, split."""
Values = dict[Key, tuple[float, float]]
"""Accuracy and loss of each."""


@dataclass(frozen=True)
class Found:
    """Measurements of a run: each split, then reported ID and OOD accuracy of its own network.

    ``selected``: number of updates of the network that is kept.
    """

    values: Values
    reported: dict[int, tuple[float, float]]
    selected: int


def whole_run(folder: Path) -> Row:
    """Compare every accuracy, and which network is kept."""
    images = save_domains(folder / "images", per_class=20, sizes=((40, 40), (50, 36)))
    spec = paper_spec(images, **RUN)
    ours, expected = _our_run(spec, folder), _their_run(spec, images, folder)
    shared = ours.values.keys() & expected.values.keys()
    own_arms = {arm for _, arm, _, _ in ours.values}
    differences = [
        [
            abs(mine - other)
            for mine, other in zip(ours.values[key], expected.values[key], strict=True)
        ]
        for key in shared
    ]
    of_accuracy, of_loss = (max(values) for values in zip(*differences, strict=True))
    same = sum(ours.reported.get(step) == pair for step, pair in expected.reported.items())
    chosen = f"both select step {ours.selected}"
    if ours.selected != expected.selected:
        chosen = f"selected: step {ours.selected}, theirs {expected.selected}"
    return Row(
        "a complete run: own network, average, ensemble, selection",
        "`scripts/trainv2.py` (authors), with their `--outsplit_noaug 1`: target's `in` and `out`, "
        "sources' `out`; sums of logits and SWA from `ma_start_iter` on; ID: mean over sources, "
        "strict `>`; OOD: the target's `in` (DomainBed `model_selection.py`)",
        "the engine's run with arms `averaged` and `ensemble`",
        f"ResNet-18, {HPARAMS.steps} updates, evaluated after "
        f"{', '.join(str(step) for step in sorted({key[0] for key in expected.values}))}; "
        "split, order and images read by the reference; same batches and masks",
        f"{len(shared)} accuracies: {difference_text(of_accuracy)}; losses: "
        f"{difference_text(of_loss)}; ID and OOD equal in {same} of {len(expected.reported)} "
        f"evaluations; {chosen}",
        len(own_arms) == 3
        and ours.values.keys() == expected.values.keys()
        and of_accuracy == 0
        and of_loss < 1e-5
        and same == len(expected.reported)
        and ours.selected == expected.selected,
    )


def _our_run(spec: RunSpec, folder: Path) -> Found:
    """Run the engine; values are by name of the arm, ``own`` for the run's own network."""
    run_dir = RunDir(folder / "home" / "runs" / "ours")
    run_dir.create(spec, UserData())
    do(run_dir)
    events = [decode_event(line) for line in run_dir.events.read_bytes().splitlines()]
    values = {key: value for event in events for key, value in _values(event)}
    [finished] = [event for event in events if isinstance(event, RunFinished)]
    reported = {
        event.step: (event.id_accuracy, event.ood_accuracy or 0.0)
        for event in events
        if isinstance(event, Evaluated)
    }
    return Found(values, reported, finished.selected_step)


def do(run_dir: RunDir, stop: StopRequest | None = None) -> None:
    """Do a run in this process until it ends or is asked to stop."""
    log = EventLog(run_dir.events)
    try:
        log.record(run(run_dir, log, stop or StopRequest()))
    finally:
        log.close()


def _values(event: AnyEvent) -> Iterator[tuple[Key, tuple[float, float]]]:
    """Yield the accuracy and the loss of each split of an evaluation."""
    if not isinstance(event, Evaluated | ArmEvaluated):
        return
    arm = event.arm if isinstance(event, ArmEvaluated) else "own"
    found: dict[tuple[str, str], dict[str, float]] = {}
    for each in event.metrics:
        value = float("nan") if each.value is None else each.value
        found.setdefault((each.domain, each.split), {})[each.name] = value
    for (domain, split), values in found.items():
        yield (event.step, arm, domain, split), (values["accuracy"], values["loss"])


def _their_run(spec: RunSpec, images: Path, folder: Path) -> Found:
    """Run the authors' loop with the run's batches, masks and initial weights."""
    training = prepare(spec, load(spec, folder), RunDir(folder / "given"), None)
    algorithm = Erm(resnet18_of(training, spec), HPARAMS)
    batches = []
    for _ in range(spec.steps):
        pixels, labels = training.batches.draw()
        parts = (each.chunk(training.sources) for each in (pixels.contiguous(), labels))
        batches.append(list(zip(*parts, strict=True)))
    splits = read_splits(images, SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(training.generators["masks"].get_state())
        found = theirs.train(algorithm, batches, splits, HPARAMS)
    values = {key: value for each in found for key, value in _their_values(each, splits)}
    reported = {
        each.updates: (
            theirs.id_accuracy(each.own, splits, TARGET),
            accuracy(each.own[TARGET, "in"], splits[TARGET, "in"][1]),
        )
        for each in found
    }
    return Found(values, reported, theirs.selected(found, splits, TARGET))


def _their_values(
    found: theirs.Evaluated, splits: theirs.Images
) -> Iterator[tuple[Key, tuple[float, float]]]:
    """Yield the accuracy and the loss of each split; the ensemble's is of the mean of logits.

    Before averages and ensembles start, theirs repeat the own network's; these are left out.
    """
    arms = {"own": (found.own, 1)}
    if found.networks:
        arms |= {"averaged": (found.averaged, 1), "ensemble": (found.ensemble, found.networks)}
    for arm, (logits, networks) in arms.items():
        for (domain, split), each in logits.items():
            labels = splits[domain, split][1]
            loss = float(F.cross_entropy(each / networks, labels))
            yield (found.updates, arm, domain, split), (accuracy(each, labels), loss)


def read_splits(images: Path, size: int) -> Mapping[theirs.Split, tuple[Tensor, Tensor]]:
    """Return the evaluation images, read, split and transformed as theirs."""
    transform = their_data.evaluation_transform(size)
    found = {}
    for place, domain in enumerate(their_data.domain_folders(images)):
        is_target = DOMAINS[place] == TARGET
        parts = their_data.in_and_out(len(domain.samples), 0.2, 0, place, is_target=is_target)
        for split, keys in zip(("in", "out"), parts, strict=True):
            if split == "out" or is_target:
                samples = [domain.samples[key] for key in keys]
                pixels = [transform(default_loader(path)) for path, _ in samples]
                labels = torch.tensor([label for _, label in samples])
                found[DOMAINS[place], split] = (torch.stack(pixels), labels)
    return found
