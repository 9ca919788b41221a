"""Rows on the update of the weights: the engine's own step against the authors'."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast

import torch
import torchvision
from torch import Tensor, nn

from benchmarks.parity.data import load, paper_spec
from benchmarks.parity.images import save_domains
from benchmarks.parity.reference import training as theirs
from benchmarks.parity.row import Row, difference_text, largest_difference
from engine.data import TrainingBatches
from engine.data.load import Indices
from engine.data.mixing import Pairs
from engine.protocol import RunSpec
from engine.rundir import RunDir
from engine.train.loop import take_step
from engine.train.setup import Training, prepare

STEPS: Final = 20
MILESTONES: Final = (8, 16)
UPDATE: Final[dict[str, object]] = {
    "model": "resnet18", "batch_size": 4, "steps": STEPS, "lr": 1e-2, "precision": "fp32",
    "lr_drops": list(MILESTONES), "transforms": "batch", "arms": [], "image_size": 32,
}  # fmt: skip
"""The paper's update on a small network, at a rate that moves it."""

Weights = Sequence[Tensor]
Build = Callable[[Training, RunSpec], theirs.Network]
WeightsOf = Callable[[Training, theirs.Network], tuple[Weights, Weights]]


@dataclasses.dataclass(frozen=True)
class Compared:
    """Two networks after the same updates: largest difference of losses and of weights.

    ``moved``: largest change of a weight.
    """

    loss: float
    weights: float
    moved: float

    @property
    def text(self) -> str:
        """Format the differences."""
        return (
            f"loss: {difference_text(self.loss)}; weights: {difference_text(self.weights)} of a "
            f"change of {self.moved:.2f}"
        )


def update_fp32(folder: Path) -> Row:
    """Compare steps in single precision."""
    found = compare_updates(folder)
    return Row(
        f"{STEPS} updates, fp32",
        "`ERM.update` (authors, `algorithms.py`): SGD with momentum 0.9, weight decay on every "
        "weight, `MultiStepLR`; BatchNorm in evaluation mode, its weights train",
        "the engine's `take_step` under the paper recipe",
        "torchvision's ResNet-18 against timm's with the same random weights, "
        f"3 × 4 images at 32 px, λ = 0.9, rate ×0.1 after {MILESTONES[0]} and {MILESTONES[1]} "
        "updates; same batches and masks",
        found.text,
        found.loss == found.weights == 0 < found.moved,
    )


def update_fp64(folder: Path) -> Row:
    """Compare steps in double precision."""
    found = compare_updates(folder, dtype=torch.float64)
    return Row(
        f"{STEPS} updates, fp64",
        "the same",
        "the same in double precision (not available in runs)",
        "the same; logits are rounded to fp32 before the loss on both sides, as the engine does",
        found.text,
        max(found.loss, found.weights) < 1e-14 < found.moved,
    )


def update_head_factor(folder: Path) -> Row:
    """Compare steps with another rate for the last layer."""
    found = compare_updates(folder, head_lr_factor=10.0)
    return Row(
        f"{STEPS} updates, last layer ×10 (figure 6)",
        "a parameter group with `lr` × `lastlrfac` (authors, `algorithms.py`)",
        "`--head-lr-factor 10`",
        "the same in fp32",
        found.text,
        found.loss == found.weights == 0 < found.moved,
    )


def update_groupdro(folder: Path) -> Row:
    """Compare steps of GroupDRO."""
    found = compare_updates(folder, algorithm=theirs.GroupDro, objective="groupdro")
    return Row(
        f"{STEPS} updates of GroupDRO",
        "`GroupDRO.update` (DomainBed `algorithms.py`), η = 0.01",
        "`--objective groupdro`",
        "the same in fp32; all domains pass through the network together",
        found.text,
        max(found.loss, found.weights) < 1e-5 < found.moved,
    )


def resnet18_of(training: Training, spec: RunSpec) -> theirs.Network:
    """Return torchvision's ResNet-18 with the weights of the run's network."""
    backbone = torchvision.models.resnet18()
    backbone.fc = nn.Identity()
    state = training.network.module.state_dict()
    backbone.load_state_dict({name: each for name, each in state.items() if name[:3] != "fc."})
    return theirs.Network(backbone, head_of(training), spec.dropout_rate)


def head_of(training: Training) -> nn.Linear:
    """Return a copy of the run's last layer."""
    return copy.deepcopy(training.network.head)


def weights_of_resnet(training: Training, network: theirs.Network) -> tuple[Weights, Weights]:
    """Return the weights of both networks in one order, by torchvision's names."""
    ours = dict(training.network.module.named_parameters())
    names = [name for name, _ in network.featurizer.named_parameters()]
    mine = [ours[name] for name in names] + list(training.network.head.parameters())
    return mine, list(network.parameters())


def peek(training: Training) -> list[tuple[Tensor, Tensor]]:
    """Return the batch that the next step will draw, as a minibatch of each source."""
    generator = training.generators["batches"]
    state = generator.get_state()
    images, labels = training.batches.draw()
    generator.set_state(state)
    parts = (each.chunk(training.sources) for each in (images.contiguous(), labels))
    return list(zip(*parts, strict=True))


def share_masks(training: Training) -> None:
    """Set torch's own generator, which dropout uses, to the state of the run's mask generator."""
    torch.default_generator.set_state(training.generators["masks"].get_state())


def hyperparameters(spec: RunSpec) -> theirs.Hyperparameters:
    """Return the authors' hyper-parameters for an update like the run's."""
    return theirs.Hyperparameters(
        lr=spec.lr,
        weight_decay=spec.weight_decay,
        head_lr_factor=spec.head_lr_factor,
        milestones=MILESTONES,
    )


def in_double_precision(training: Training) -> Training:
    """Return the run with weights and images in double precision."""
    training.network.module.double()
    batches = cast("TrainingBatches", DoubleBatches(training.batches))
    return dataclasses.replace(training, batches=batches)


class DoubleBatches:
    """Batches of a run whose images are in double precision."""

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches

    @property
    def drawn(self) -> Indices:
        """Return the rows of the last batch's images."""
        return self._batches.drawn

    @property
    def pairs(self) -> Pairs | None:
        """Return the pairs that the last batch's images were mixed in."""
        return self._batches.pairs

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw the next batch."""
        images, labels = self._batches.draw()
        return images.double(), labels


def compare_updates(
    folder: Path,
    dtype: torch.dtype = torch.float32,
    algorithm: type[theirs.Erm] = theirs.Erm,
    build: Build = resnet18_of,
    weights_of: WeightsOf = weights_of_resnet,
    **fields: object,
) -> Compared:
    """Take the same steps with both programs.

    Args:
        folder: for images and run.
        dtype: of weights and images.
        algorithm: of the reference.
        build: builds the reference's network with the run's weights.
        weights_of: returns the weights of both.
        fields: fields of the run that replace those of :data:`UPDATE`.
    """
    images = save_domains(folder / "images")
    spec = paper_spec(images, **{**UPDATE, **fields})
    training = prepare(spec, load(spec, folder), RunDir(folder / "run"), None)
    network = build(training, spec).to(dtype)
    reference = algorithm(network, hyperparameters(spec), torch.float32)
    network.train()
    if dtype == torch.float64:
        training = in_double_precision(training)
    training.network.set_training(freeze_batchnorm=True)
    before = [each.detach().clone() for each in weights_of(training, network)[1]]
    losses = []
    with torch.random.fork_rng(devices=[]):
        for step in range(STEPS):
            minibatches = peek(training)
            share_masks(training)
            their_loss = reference.update(minibatches)
            losses.append(abs(float(take_step(spec, training, step)) - their_loss))
    ours, expected = weights_of(training, network)
    return Compared(
        max(losses), largest_difference(ours, expected), largest_difference(expected, before)
    )
