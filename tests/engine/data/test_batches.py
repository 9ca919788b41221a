from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from engine.data import DomainData, RunData, TrainingBatches, evaluation_batches, load_data
from engine.errors import TrainingError
from engine.protocol import resolve_spec
from engine.ranks import Ranks
from tests.engine.datasets.image_folders import MakeFolder

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
THREE_DOMAINS = {"photo": ("cat", "dog"), "art": ("cat", "dog"), "sketch": ("cat", "dog")}
Kind = Literal["batch", "pil"]


@pytest.fixture
def data(make_folder: MakeFolder, tmp_path: Path) -> RunData:
    return load(make_folder(THREE_DOMAINS, size=(52, 41)), tmp_path / "cache")


def load(root: Path, cache_dir: Path) -> RunData:
    spec = resolve_spec({"data_dir": str(root), "target": "photo", "image_size": 32})
    return load_data(spec, cache_dir)


def batches(
    data: RunData, generator: torch.Generator, kind: Kind = "batch", count: int = 4
) -> TrainingBatches:
    return TrainingBatches(data, count, kind, MEAN, STD, generator, CPU)


@pytest.mark.parametrize("kind", ["batch", "pil"])
def test_a_batch_has_its_share_of_every_source_domain(data: RunData, kind: Kind) -> None:
    images, labels = batches(data, torch.Generator().manual_seed(0), kind).draw()
    assert images.shape == (8, 3, 32, 32)
    assert images.dtype == torch.float32
    assert labels.shape == (8,)
    assert labels.dtype == torch.int64
    in_range = images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    assert -1e-6 <= float(in_range.min()) < 0.2
    assert 0.8 < float(in_range.max()) <= 1 + 1e-6


@pytest.mark.parametrize("kind", ["batch", "pil"])
def test_the_generators_state_is_the_position(data: RunData, kind: Kind) -> None:
    generator = torch.Generator().manual_seed(3)
    drawn = batches(data, generator, kind)
    drawn.draw()
    state = generator.get_state()
    expected = [drawn.draw() for _ in range(2)]
    global_state = torch.get_rng_state()
    torch.manual_seed(99)
    other = torch.Generator()
    other.set_state(state)
    resumed = batches(data, other, kind)
    for images, labels in expected:
        again, labels_again = resumed.draw()
        assert torch.equal(images, again)
        assert torch.equal(labels, labels_again)
    torch.set_rng_state(global_state)


def paint(data: RunData, level_of: Callable[[str, int, int], int]) -> RunData:
    """Paint every image one grey, by domain, index in the domain and label; load again."""
    for domain in data.domains:
        for index, (row, label) in enumerate(zip(domain.rows, domain.labels, strict=True)):
            level = level_of(domain.name, index, int(label))
            path = data.image_set.location / data.image_set.files[int(row)].path
            Image.new("RGB", (40, 40), (level, level, level)).save(path)
    return load(data.image_set.location, data.image_set.location.parent / "painted")


def are_white(images: Tensor) -> Tensor:
    """Say which images are white: augmentation leaves black black and white above 0.7."""
    return images.mean(dim=(1, 2, 3)) > 0.5


def plain_batches(data: RunData, kind: Kind, count: int) -> TrainingBatches:
    generator = torch.Generator().manual_seed(4)
    return TrainingBatches(data, count, kind, (0.0,) * 3, (1.0,) * 3, generator, CPU)


@pytest.mark.parametrize("kind", ["batch", "pil"])
def test_only_training_images_of_sources_are_drawn(data: RunData, kind: Kind) -> None:
    held_out = {domain.name: domain.out_indices.tolist() for domain in data.sources}
    painted = paint(data, lambda name, index, _: 255 * (index in held_out.get(name, [index])))
    images, _ = plain_batches(painted, kind, 100).draw()
    assert not are_white(images).any()


def test_each_training_image_is_drawn_as_often_as_any_other(data: RunData) -> None:
    chosen = {domain.name: int(domain.in_indices[7]) for domain in data.sources}
    painted = paint(data, lambda name, index, _: 255 * (index == chosen.get(name)))
    images, _ = plain_batches(painted, "batch", 1000).draw()
    for share in images.split(1000):  # a tenth of 1000 draws; the standard deviation is 9.5
        assert 62 <= int(are_white(share).sum()) <= 138


def test_balanced_batches_have_every_class_of_a_domain_equally_often(data: RunData) -> None:
    """The art is trained on without dogs, the sketches with one dog."""
    dogs = {"art": 0, "sketch": 1}

    def with_few_dogs(domain: DomainData) -> DomainData:
        is_dog = domain.labels[domain.in_indices].numpy() == 1
        kept = domain.in_indices[is_dog][: dogs.get(domain.name)]
        return replace(domain, in_indices=np.concatenate([domain.in_indices[~is_dog], kept]))

    few = replace(data, domains=tuple(map(with_few_dogs, data.domains)))
    generator = torch.Generator().manual_seed(2)
    drawn = TrainingBatches(few, 1000, "batch", MEAN, STD, generator, CPU, sampling="balanced")
    _, labels = drawn.draw()
    art, sketch = labels.split(1000)
    assert art.tolist() == [0] * 1000
    assert 400 < int(sketch.sum()) < 600
    assert drawn.drawn is not None
    allowed = {int(row) for domain in few.sources for row in domain.rows[domain.in_indices]}
    assert {int(row) for row in drawn.drawn} == allowed


@pytest.mark.parametrize("kind", ["batch", "pil"])
def test_labels_belong_to_their_images_domain_after_domain(data: RunData, kind: Kind) -> None:
    painted = paint(data, lambda name, _, label: 255 * (label if name == "art" else 1 - label))
    images, labels = plain_batches(painted, kind, 16).draw()
    art, sketch = are_white(images).long().split(16)
    assert labels.tolist() == [*art.tolist(), *(1 - sketch).tolist()]


@pytest.mark.parametrize("kind", ["batch", "pil"])
def test_crops_keep_to_the_shape_of_the_original(data: RunData, kind: Kind) -> None:
    """No crop of 4:3 with 0.7 of its area fits in a strip, so that its middle is cut out."""
    strip = Image.new("RGB", (400, 100), "black")
    strip.paste("white", (120, 0, 280, 100))
    for file in data.image_set.files:
        strip.save(data.image_set.location / file.path)
    strips = load(data.image_set.location, data.image_set.location.parent / "strips")
    images, _ = plain_batches(strips, kind, 16).draw()
    assert float(images.amin()) > 0.45  # white at the lowest brightness and contrast


def test_pil_batches_are_torchvisions_transforms(data: RunData) -> None:
    compose = transforms.Compose(
        [
            transforms.RandomResizedCrop(32, scale=(0.7, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.3, 0.3, 0.3, 0.3),
            transforms.RandomGrayscale(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    generator = torch.Generator().manual_seed(6)
    replay = torch.Generator().manual_seed(6)
    for _ in range(3):
        images, _ = batches(data, generator, "pil").draw()
        rows: list[int] = []
        for domain in data.sources:
            chosen = torch.randint(len(domain.in_indices), (4,), generator=replay).numpy()
            rows += domain.rows[domain.in_indices[chosen]].tolist()
        seed = int(torch.randint(2**63 - 1, (), generator=replay))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            expected = torch.stack([compose(data.image_set.open_image(row)) for row in rows])
        assert torch.equal(images, expected)


def test_an_original_that_vanished_is_told(data: RunData) -> None:
    for file in data.image_set.files:
        (data.image_set.location / file.path).unlink()
    told = r"The image \w+/\w+/\d\.png of .* can no longer be read \(No such file or directory\)"
    with pytest.raises(TrainingError, match=told):
        batches(data, torch.Generator(), "pil").draw()


def test_evaluation_is_domainbeds_transform_in_order(data: RunData) -> None:
    compose = transforms.Compose(
        [
            transforms.Resize((32, 32)),
            transforms.ToTensor(),
            transforms.Normalize(mean=MEAN, std=STD),
        ]
    )
    domain = data.sources[1]
    pairs = list(evaluation_batches(domain, domain.in_indices, 4, MEAN, STD, CPU))
    assert [len(labels) for _, labels in pairs] == [4, 4, 2]
    images = torch.cat([images for images, _ in pairs])
    rows = domain.rows[domain.in_indices]
    expected = torch.stack([compose(data.image_set.open_image(int(row))) for row in rows])
    assert torch.equal(images, expected)
    labels = torch.cat([labels for _, labels in pairs])
    assert labels.tolist() == domain.labels[domain.in_indices].tolist()


def test_no_images_make_no_batches(data: RunData) -> None:
    none = np.array([], dtype=np.int64)
    assert list(evaluation_batches(data.domains[0], none, 4, MEAN, STD, CPU)) == []


@pytest.mark.parametrize("kind", ["batch", "pil"])
def test_the_shares_of_ranks_make_up_the_batch_of_one(data: RunData, kind: Kind) -> None:
    generator = torch.Generator().manual_seed(7)
    whole, labels = batches(data, generator, kind).draw()
    shares = []
    for rank in range(3):  # 8 images: 2, 3 and 3
        of_rank = torch.Generator().manual_seed(7)
        ranks = Ranks(rank, 3)
        drawn = TrainingBatches(data, 4, kind, MEAN, STD, of_rank, CPU, ranks)
        images, labels_of_all = drawn.draw()
        assert torch.equal(labels_of_all, labels)
        assert torch.equal(of_rank.get_state(), generator.get_state())
        shares.append(images)
    assert [len(images) for images in shares] == [2, 3, 3]
    assert torch.equal(torch.cat(shares), whole)


@pytest.mark.parametrize("kind", ["batch", "pil"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_mixed_images_are_the_images_of_a_batch_mixed(
    data: RunData, kind: Kind, ranks: int
) -> None:
    plain, labels = batches(data, torch.Generator().manual_seed(7), kind).draw()
    shares = []
    for rank in range(ranks):  # 8 images: 2, 3 and 3
        generator = torch.Generator().manual_seed(7)
        drawn = TrainingBatches(
            data, 4, kind, MEAN, STD, generator, CPU, Ranks(rank, ranks), mixup_alpha=2.0
        )
        images, labels_of_all = drawn.draw()
        assert torch.equal(labels_of_all, labels)
        shares.append(images)
    pairs = drawn.pairs
    assert pairs is not None
    share = pairs.shares.view(-1, 1, 1, 1)
    expected = share * plain + (1 - share) * plain[pairs.partners]
    torch.testing.assert_close(torch.cat(shares), expected)
    assert not torch.allclose(expected, plain)


def test_each_image_is_evaluated_by_one_rank_and_some_ranks_may_have_none(data: RunData) -> None:
    domain = data.sources[0]
    ((whole, _),) = evaluation_batches(domain, domain.in_indices[:10], 10, MEAN, STD, CPU)
    parts: list[list[Tensor]] = [[], []]
    for rank in range(3):
        ranks = Ranks(rank, 3)
        pairs = evaluation_batches(domain, domain.in_indices[:10], 3, MEAN, STD, CPU, ranks)
        for at, (images, labels) in enumerate(pairs):
            assert len(labels) == (9, 1)[at]
            parts[at].append(images)
    assert [[len(images) for images in block] for block in parts] == [[3, 3, 3], [0, 0, 1]]
    assert torch.equal(torch.cat([*parts[0], *parts[1]]), whole)
