"""``--recipe paper`` against the authors' own code and command line.

Theirs: github.com/TjuJianyu/verylarge_dropout at b23f9dc: the command in README.md, the parser of
domainbed/scripts/trainv2.py, domainbed/hparams_registry.py, datasets.py and algorithms.py.
"""

from __future__ import annotations

from typing import Final

import pytest

from engine.protocol import (
    RunSpec,
    evaluation_steps,
    evaluations_after,
    learning_rate_factor,
    resolve_new_spec,
    resolve_spec,
    run_identity,
)
from engine.protocol.combination import trial_seed

N_STEPS: Final = 10_001  # README.md: --steps
CHECKPOINT_FREQ: Final = 300  # datasets.py: VLCS, PACS, OfficeHome, TerraIncognita
MILESTONES: Final = (5_000, 10_000)  # hparams_registry.py
MA_START_ITER: Final = 300  # hparams_registry.py


def paper(**said: object) -> RunSpec:
    return resolve_new_spec({"recipe": "paper", **said})


@pytest.mark.parametrize(
    ("field", "theirs"),
    [
        ("model", "resnet50.tv2_in1k"),  # README.md: "pretrain_version": "v2" (11ad3fa6)
        ("image_size", 224),  # datasets.py
        ("batch_size", 32),  # hparams_registry.py, of each source
        ("validation_fraction", 0.2),  # trainv2.py: --holdout_fraction
        ("augment_validation", True),  # trainv2.py: out_ splits keep the training transform
        ("trial_seed", 0),  # trainv2.py: --trial_seed, which the command does not set
        ("steps", N_STEPS),
        ("optimizer", "sgd"),  # hparams_registry.py, and the seven below
        ("momentum", 0.9),
        ("lr", 1e-3),
        ("weight_decay", 1e-4),
        ("schedule", "step"),
        ("lr_drops", MILESTONES),
        ("freeze_batchnorm", True),
        ("head_lr_factor", 1.0),  # lastlrfac
        ("dropout_rate", 0.9),  # README.md: "resnet_dropout"
        ("masks", 1),  # networks.py: one nn.Dropout before the last layer
        ("warmup_steps", 0),
        ("grad_clip", None),
        ("head_steps", 0),  # --init_step is not given
        ("scale_head_lr", False),
        ("precision", "fp32"),  # no autocast anywhere
        ("transforms", "pil"),  # torchvision's, image by image
        ("average_every", 1),  # trainv2.py: swa_algorithm.update after each update
        ("average_batchnorm", "average"),
        ("tuning", "full"),
        ("objective", "erm"),
    ],
)
def test_a_field_has_the_authors_value(field: str, theirs: object) -> None:
    assert getattr(paper(), field) == theirs


def test_it_is_evaluated_after_the_updates_after_which_theirs_is() -> None:
    # trainv2.py: `step` counts from 0, and is evaluated after its update.
    theirs = [
        step + 1 for step in range(N_STEPS) if step % CHECKPOINT_FREQ == 0 or step == N_STEPS - 1
    ]
    spec = paper()
    assert list(evaluation_steps(spec)) == theirs
    assert (theirs[:3], theirs[-2:], len(theirs)) == ([1, 301, 601], [9_901, 10_001], 35)
    assert evaluations_after(spec, 0) == 35


def test_its_rate_is_theirs_at_every_update() -> None:
    # MultiStepLR steps after each update: the one with index 5,000 is the first at a tenth.
    theirs = [0.1 ** sum(step >= drop for drop in MILESTONES) for step in range(N_STEPS)]
    spec = paper()
    ours = [learning_rate_factor(spec, step) for step in range(N_STEPS)]
    assert ours == pytest.approx(theirs)
    assert ours[-2:] == pytest.approx([0.1, 0.01])


def test_it_averages_the_networks_that_theirs_does() -> None:
    # algorithms.py, SWA.update: `global_iter` counts from 0. Up to MA_START_ITER the average is a
    # copy of the network, which is the first of the mean.
    theirs = [step + 1 for step in range(N_STEPS) if step >= MA_START_ITER]
    spec = paper()
    assert spec.arms == ("averaged", "ensemble")
    ours = range(spec.average_from, spec.steps + 1, spec.average_every)
    assert (list(ours), len(theirs)) == (theirs, 9_701)


def test_all_seeds_share_a_split_unless_each_is_to_have_its_own() -> None:
    assert {trial_seed(paper(seed=seed)) for seed in (0, 1, 2)} == {0}
    own = [paper(seed=seed, trial_seed=None) for seed in (0, 1, 2)]
    assert [trial_seed(spec) for spec in own] == [0, 1, 2]
    assert trial_seed(paper(seed=1, trial_seed=5)) == 5
    assert run_identity(own[0]) == run_identity(paper(seed=0))
    assert run_identity(own[1]) != run_identity(paper(seed=1))


def test_nothing_else_is_set() -> None:
    spec = paper(dataset="PACS", target="sketch")
    assert spec == RunSpec(
        recipe="paper", dataset="PACS", target="sketch", image_size=224, batch_size=32,
        transforms="pil", validation_fraction=0.2, augment_validation=True, trial_seed=0,
        model="resnet50.tv2_in1k", weights="pretrained", freeze_batchnorm=True, dropout_rate=0.9,
        masks=1, head_steps=0, head_lr_factor=1.0, scale_head_lr=False,
        arms=("averaged", "ensemble"), average_from=301, average_every=1, steps=10_001,
        optimizer="sgd", lr=1e-3, momentum=0.9, weight_decay=1e-4,
        schedule="step", lr_drops=(5_000, 10_000), warmup_steps=0, grad_clip=None, eval_every=300,
        eval_from=1, log_every=100, precision="fp32",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "drops", "average_from"),
    [
        (1, (1,), 1),
        (2, (1,), 1),
        (20, (10, 19), 1),
        (200, (100, 199), 6),
        (300, (150, 299), 9),
        (301, (150, 300), 301),
        (5_000, (2_500, 4_999), 301),
        (10_000, (5_000, 9_999), 301),
        (20_000, (5_000, 10_000), 301),
    ],
)
def test_a_run_of_another_length_keeps_its_shape(
    steps: int, drops: tuple[int, ...], average_from: int
) -> None:
    spec = paper(steps=steps)
    assert (spec.lr_drops, spec.average_from) == (drops, average_from)
    evaluated = evaluation_steps(spec)
    assert (evaluated[0], evaluated[-1]) == (1, steps)
    assert spec == resolve_spec({"recipe": "paper", "steps": steps})
