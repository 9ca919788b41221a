"""Validation images under the training transform: what is drawn, and on what it depends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.data import (
    DomainData,
    RunData,
    TrainingBatches,
    ValidationAugmentation,
    evaluation_batches,
    load_data,
)
from engine.data.batches import PilAugmentation
from engine.data.transforms import PilTransform
from engine.protocol import resolve_spec
from engine.ranks import Ranks
from tests.engine.datasets.image_folders import MakeFolder

CPU = torch.device("cpu")
MEAN, STD = (0.0,) * 3, (1.0,) * 3
DOMAINS = {"photo": ("cat", "dog"), "art": ("cat", "dog"), "sketch": ("cat", "dog")}
Kind = Literal["batch", "pil"]
both_kinds = pytest.mark.parametrize("kind", ["batch", "pil"])


@pytest.fixture
def data(make_folder: MakeFolder, tmp_path: Path) -> RunData:
    root = make_folder(DOMAINS, count=20, size=(52, 41))
    return load(root, tmp_path / "cache")


def load(root: Path, cache: Path) -> RunData:
    spec = {"data_dir": str(root), "target": "photo", "image_size": 32, "validation_fraction": 0.4}
    return load_data(resolve_spec(spec), cache)


def augmented(
    data: RunData,
    kind: Kind,
    step: int = 3,
    *,
    domain: DomainData | None = None,
    seed: int = 0,
    batch_size: int = 64,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the augmented validation images of a domain, and the labels, batch by batch."""
    augmentation = ValidationAugmentation(data, kind, seed)
    domain = domain or data.sources[0]
    load = augmentation.of_step(step, domain, CPU)
    batches = evaluation_batches(
        domain, domain.out_indices, batch_size, MEAN, STD, CPU, ranks, load
    )
    images, labels = zip(*batches, strict=True)
    return list(images), list(labels)


@both_kinds
def test_each_step_seed_and_domain_has_draws_of_its_own(data: RunData, kind: Kind) -> None:
    [first], [labels] = augmented(data, kind)
    domain = data.sources[0]
    assert torch.equal(labels, domain.labels[domain.out_indices])
    assert torch.equal(first, augmented(data, kind)[0][0])
    plain = torch.cat(
        [each for each, _ in evaluation_batches(domain, domain.out_indices, 9, MEAN, STD, CPU)]
    )
    others = [
        augmented(data, kind, step=4)[0][0],
        augmented(data, kind, seed=1)[0][0],
        plain,
    ]
    for other in others:
        assert all(not torch.equal(*pair) for pair in zip(first, other, strict=True))


@both_kinds
def test_draws_depend_neither_on_the_batches_nor_on_the_ranks(data: RunData, kind: Kind) -> None:
    [whole], [labels] = augmented(data, kind)
    images, of_parts = augmented(data, kind, batch_size=3)
    assert torch.equal(torch.cat(images), whole)
    assert torch.equal(torch.cat(of_parts), labels)
    shares = [
        augmented(data, kind, batch_size=5, ranks=Ranks(rank=rank, size=3))[0] for rank in range(3)
    ]
    assert min(len(each) for share in shares for each in share) == 0, "a rank without an image"
    of_batches = [torch.cat(parts) for parts in zip(*shares, strict=True)]
    assert torch.equal(torch.cat(of_batches), whole)


@both_kinds
def test_no_other_draws_change(data: RunData, kind: Kind) -> None:
    before = torch.get_rng_state()
    augmented(data, kind)
    assert torch.equal(torch.get_rng_state(), before)


@both_kinds
def test_images_are_in_their_place(data: RunData, kind: Kind) -> None:
    domain = data.sources[1]
    for at, index in enumerate(domain.out_indices.tolist()):
        path = data.image_set.files[int(domain.rows[index])].path
        level = 255 * (at % 2)
        Image.new("RGB", (40, 40), (level,) * 3).save(data.image_set.location / path)
    painted = load(data.image_set.location, data.image_set.location.parent / "painted")
    [images], _ = augmented(painted, kind, domain=painted.sources[1])
    are_white = images.mean(dim=(1, 2, 3)) > 0.5  # white stays above 0.7, black stays black
    assert are_white.tolist() == [bool(at % 2) for at in range(len(images))]


def test_pil_images_are_the_training_transform_of_the_original_files(data: RunData) -> None:
    domain = data.sources[0]
    rows = domain.rows[domain.out_indices]
    seeds = list(range(len(rows)))
    transform = PilTransform(32)
    with ThreadPoolExecutor(2) as threads:
        augmented_each = PilAugmentation(data, threads).augment_each(rows, seeds)
    for row, seed, found in zip(rows, seeds, augmented_each, strict=True):
        image = data.image_set.open_image(int(row))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expected = transform.apply(image, transform.draw(image))
        assert torch.equal(found, expected)


@both_kinds
def test_they_are_distributed_as_training_images_are(data: RunData, kind: Kind) -> None:
    """One picture everywhere: levels, contrast and crops of many draws of it are alike."""
    ramp = np.linspace(20, 200, 32, dtype=np.uint8)
    across, grey = np.tile(ramp, (32, 1)), np.full((32, 32), 90, dtype=np.uint8)
    pixels = np.stack([across, across.T, grey], axis=2)
    for file in data.image_set.files:
        Image.fromarray(pixels).save(data.image_set.location / file.path)
    same = load(data.image_set.location, data.image_set.location.parent / "same")
    training = TrainingBatches(same, 400, kind, MEAN, STD, torch.Generator().manual_seed(1), CPU)
    ours = torch.cat([augmented(same, kind, step)[0][0] for step in range(50)])
    theirs, _ = training.draw()
    for measure in (_level, _contrast, _slope, _blue):
        one, other = measure(ours), measure(theirs)
        error = (one.var() / len(one) + other.var() / len(other)).sqrt()
        assert float((one.mean() - other.mean()).abs() / error) < 4
        assert float(one.std() / other.std()) == pytest.approx(1, abs=0.12)


def _level(images: Tensor) -> Tensor:
    return images.mean(dim=(1, 2, 3))


def _contrast(images: Tensor) -> Tensor:
    return images.std(dim=(1, 2, 3))


def _slope(images: Tensor) -> Tensor:
    """Return how much redder the right side is than the left: mirrored images turn its sign."""
    return images[:, 0, :, 24:].mean(dim=(1, 2)) - images[:, 0, :, :8].mean(dim=(1, 2))


def _blue(images: Tensor) -> Tensor:
    return images[:, 2].mean(dim=(1, 2))
