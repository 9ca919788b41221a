"""Rows on the course of a run: learning rates, evaluations, averages, the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import MultiStepLR

from benchmarks.parity.data import load, paper_spec
from benchmarks.parity.images import save_domains
from benchmarks.parity.reference import training as theirs
from benchmarks.parity.row import Row, difference_text, largest_difference
from engine.arms.averaged import Averaged
from engine.data import split_indices
from engine.evaluate import predict
from engine.execution import Execution
from engine.model import FineTunedNetwork, build_network
from engine.protocol import (
    RunSpec,
    evaluation_steps,
    learning_rate_factor,
    resolve_spec,
    trial_seed,
)
from vld_tui.home import Home
from vld_tui.study.define.files import find_study

AUTHORS: Final = theirs.Hyperparameters()
DOMAINNET_EVERY: Final = 1_000
"""The authors, ``datasets.py``, ``DomainNet.CHECKPOINT_FREQ``; the other sets' is 300."""


def recipe() -> RunSpec:
    """Return the paper's recipe as it is."""
    return resolve_spec({"recipe": "paper"})


def fields(_folder: Path) -> Row:
    """Compare the recipe's values with the authors' defaults."""
    ours = recipe()
    pairs = {
        "lr": (ours.lr, AUTHORS.lr),
        "weight decay": (ours.weight_decay, AUTHORS.weight_decay),
        "momentum": (ours.momentum, AUTHORS.momentum),
        "last-layer factor": (ours.head_lr_factor, AUTHORS.head_lr_factor),
        "dropout": (ours.dropout_rate, AUTHORS.dropout_rate),
        "steps": (ours.steps, AUTHORS.steps),
        "drops": (ours.lr_drops, AUTHORS.milestones),
        "batch": (ours.batch_size, 32),
        "validation share": (ours.validation_fraction, 0.2),
        "image size": (ours.image_size, 224),
        "frozen BatchNorm": (ours.freeze_batchnorm, True),
        "optimizer": (ours.optimizer, "sgd"),
        "precision": (ours.precision, "fp32"),
        "augmented validation": (ours.augment_validation, True),
        "split seed": (ours.trial_seed, 0),
        "one mask": (ours.masks, 1),
        "head steps": (ours.head_steps, 0),
        "warm-up": (ours.warmup_steps, 0),
        "clipping": (ours.grad_clip, None),
        "weights": (ours.model, "resnet50.tv2_in1k"),
    }
    differing = [name for name, (mine, other) in pairs.items() if mine != other]
    return Row(
        "values of `--recipe paper`",
        "defaults of `hparams_registry.py` and `scripts/trainv2.py`, and the command in the README "
        "(authors)",
        "the recipe",
        f"{len(pairs)} fields: {', '.join(pairs)}",
        f"{len(pairs) - len(differing)} of {len(pairs)} equal{': not ' if differing else ''}"
        f"{', '.join(differing)}",
        not differing,
    )


def learning_rates(_folder: Path) -> Row:
    """Compare the rate of every update."""
    spec = recipe()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=AUTHORS.lr)
    scheduler = MultiStepLR(optimizer, list(AUTHORS.milestones), AUTHORS.gamma)
    worst, changes, before = 0.0, [], 0.0
    for step in range(AUTHORS.steps):
        rate = float(optimizer.param_groups[0]["lr"])
        ours = spec.lr * learning_rate_factor(spec, step)
        worst = max(worst, abs(ours / rate - 1))
        changes += [step + 1] if rate != before else []
        before = rate
        optimizer.step()
        scheduler.step()
    shown = ", ".join(f"{change:,}" for change in changes[1:])
    return Row(
        "learning rate",
        "`MultiStepLR` at 5,000 and 10,000, stepped after each update (authors, `algorithms.py`)",
        "`--lr-drops 5000,10000`",
        f"{AUTHORS.steps:,} updates",
        f"largest relative difference {worst:.0e}; drops at updates {shown}",
        worst < 1e-12,
    )


def evaluations(_folder: Path) -> Row:
    """Compare the updates after which runs are evaluated."""
    ours, expected = list(evaluation_steps(recipe())), theirs.evaluated_updates(AUTHORS)
    return Row(
        "evaluations",
        "`step % 300 == 0` or the last, after the update (authors, `scripts/trainv2.py`)",
        "`--eval-from 1 --eval-every 300`",
        "number of updates before each",
        f"{len(ours)} and {len(expected)}: {ours[0]}, {ours[1]}, …, {ours[-2]:,}, {ours[-1]:,}",
        ours == expected,
    )


def preset(folder: Path, name: str) -> tuple[RunSpec, ...]:
    """Return the runs of a preset; images of its data sets are not needed."""
    return find_study(Home(folder / "home"), name).specs


def evaluations_of_domainnet(folder: Path) -> Row:
    """Compare the evaluations of the preset for DomainNet."""
    specs = preset(folder, "paper-fig4")
    expected = [
        theirs.evaluated_updates(
            theirs.Hyperparameters(steps=spec.steps, checkpoint_every=DOMAINNET_EVERY)
        )
        for spec in specs
    ]
    same = sum(
        list(evaluation_steps(spec)) == other for spec, other in zip(specs, expected, strict=True)
    )
    return Row(
        "evaluations on DomainNet (figure 4)",
        f"every {DOMAINNET_EVERY:,} steps (authors, `datasets.py`)",
        "preset `paper-fig4`",
        f"{len(specs)} runs of {specs[0].steps:,} steps",
        f"{same} of {len(specs)} equal: {len(evaluation_steps(specs[0]))} evaluations per run",
        same == len(specs),
    )


def kept_for_soups(folder: Path) -> Row:
    """Check which weights a preset's runs keep for soups across runs."""
    names = ("paper-fig2", "paper-fig6", "paper-fig7")
    specs = [spec for name in names for spec in preset(folder, name)]
    kept = sum(spec.keep_checkpoints == "all" for spec in specs)
    return Row(
        "weights for averages and ensembles across runs",
        "the final weights of all runs (authors, README, caption of figure 1)",
        "`--at last`; presets keep all checkpoints. Default: each run's selected step",
        f"{len(specs):,} runs of presets {', '.join(names)}",
        f"{kept:,} of {len(specs):,} keep their final weights",
        kept == len(specs),
    )


def splits_of_seeds(_folder: Path) -> Row:
    """Compare the splits of runs that differ in their seed."""
    specs = [resolve_spec({"recipe": "paper", "seed": seed}) for seed in range(3)]
    parts = [
        [split_indices(2_048, 0.2, trial_seed(spec), domain) for domain in range(4)]
        for spec in specs
    ]
    first = parts[0]
    same = all(
        (mine[0] == other[0]).all() and (mine[1] == other[1]).all()
        for part in parts
        for mine, other in zip(part, first, strict=True)
    )
    return Row(
        "splits of several seeds",
        "one for all: the command in the README sets only `--seed`; `trial_seed` stays 0 (authors)",
        "one for all under the paper recipe; otherwise one for each seed, as in DomainBed's sweeps",
        "seeds 0, 1, 2; four domains of 2,048 images",
        "the same images are held out" if same else "other images are held out",
        same,
    )


def averages(folder: Path) -> Row:
    """Compare the average of weights over a whole run."""
    data = load(paper_spec(save_domains(folder / "images")), folder)
    network = _Small()
    tuned = FineTunedNetwork(network, network.head, (0.5,) * 3, (0.5,) * 3)
    arm = Averaged(recipe(), data, tuned, Execution(torch.device("cpu"), "fp32", "contiguous"))
    swa = theirs.Swa(network, AUTHORS.average_from)
    generator = torch.Generator().manual_seed(0)
    exact = [torch.zeros_like(each, dtype=torch.float64) for each in network.parameters()]
    for update in range(1, AUTHORS.steps + 1):
        _walk(network, generator)
        arm.after_step(update)
        swa.update(network)
        if update > AUTHORS.average_from:
            torch._foreach_add_(exact, [each.double() for each in network.parameters()])
    kept = arm.tensors()
    count = int(kept["count"])
    ours = [kept[name] / count for name, _ in network.named_parameters()]
    difference = largest_difference(ours, list(swa.network.parameters()))
    own = largest_difference(ours, [each / count for each in exact])
    return Row(
        "average of the weights along a run",
        "a running mean in fp32 (authors, `algorithms.py`, `SWA`), starting at update 301",
        "sums in fp64, `--average-from 301 --average-every 1`",
        f"random walk of {AUTHORS.steps:,} updates",
        f"{count:,} networks; {difference_text(difference)}; ours compared with the exact mean: "
        f"{difference_text(own)}",
        count == AUTHORS.steps - AUTHORS.average_from and difference < 1e-5 and own < 1e-12,
    )


class _Small(nn.Module):
    """A network with a few weights."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)


@torch.no_grad()
def _walk(network: nn.Module, generator: torch.Generator) -> None:
    for weight in network.parameters():
        step: Tensor = torch.randn(weight.shape, generator=generator)
        weight.add_(0.01 * step)


def precision(folder: Path) -> Row:
    """Check the precision of runs of the paper's studies."""
    names = ("paper-fig2", "paper-fig4", "paper-fig9")
    specs = [spec for name in names for spec in preset(folder, name)]
    found = sorted({spec.precision for spec in specs})
    return Row(
        "precision of training",
        "fp32 (authors)",
        "fp32 under the paper recipe; otherwise `auto` takes the fastest on the machine",
        f"{len(specs):,} runs of {len(names)} presets",
        f"{', '.join(found)} in all runs",
        found == ["fp32"],
    )


def precision_of_evaluations(_folder: Path) -> Row:
    """Compare predictions of a run that trains in half precision with those in single."""
    network = build_network("resnet18", classes=5, weights="none", image_size=64, seed=0)
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    batches = [(images, torch.zeros(8, dtype=torch.int64))]
    logits = {}
    for name in ("fp32", "bf16"):
        execution = Execution(torch.device("cpu"), name, "contiguous")
        [(logits[name], _)] = predict(network, batches, execution)
        with execution.autocast(), torch.inference_mode():
            trained_in = network.module(images).dtype
    difference = largest_difference([logits["bf16"]], [logits["fp32"]])
    return Row(
        "precision of evaluations",
        "fp32 (authors)",
        "fp32, whatever the training precision",
        "predictions of ResNet-18 with `--precision bf16` and fp32",
        difference_text(difference),
        difference == 0 and trained_in == torch.bfloat16,
    )
