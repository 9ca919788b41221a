from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import RunData, load_data, split_indices
from engine.datasets import DataError
from engine.protocol import resolve_spec
from tests.engine.datasets.image_folders import MakeFolder

THREE_DOMAINS = {"photo": ("cat", "dog"), "art": ("cat", "dog"), "sketch": ("cat", "dog")}


def load(root: Path, tmp_path: Path, **fields: object) -> RunData:
    spec = resolve_spec({"data_dir": str(root), "target": "photo", "image_size": 32, **fields})
    return load_data(spec, tmp_path / "cache")


def test_domains_labels_and_splits(make_folder: MakeFolder, tmp_path: Path) -> None:
    data = load(make_folder(THREE_DOMAINS), tmp_path, seed=5)
    assert data.name == "images"
    assert data.classes == ("cat", "dog")
    assert [domain.name for domain in data.domains] == ["art", "photo", "sketch"]
    assert [domain.name for domain in data.sources] == ["art", "sketch"]
    assert data.target is not None
    assert data.target.name == "photo"
    for index, domain in enumerate(data.domains):
        assert domain.labels.tolist() == [0] * 6 + [1] * 6
        in_indices, out_indices = split_indices(12, 0.2, 5, index)
        assert np.array_equal(domain.in_indices, in_indices)
        assert np.array_equal(domain.out_indices, out_indices)


def test_the_target_does_not_change_the_splits(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(THREE_DOMAINS)
    one, other = load(root, tmp_path, target="photo"), load(root, tmp_path, target="sketch")
    for first, second in zip(one.domains, other.domains, strict=True):
        assert np.array_equal(first.out_indices, second.out_indices)


def test_trial_seed_splits_and_seed_does_only_without_it(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(THREE_DOMAINS)

    def out_of(**fields: object) -> list[list[int]]:
        return [domain.out_indices.tolist() for domain in load(root, tmp_path, **fields).domains]

    assert out_of(seed=1, trial_seed=0) == out_of(seed=2, trial_seed=0) == out_of(seed=0)
    assert out_of(seed=1) != out_of(seed=2)


def test_images_of_a_domain_are_its_files(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(THREE_DOMAINS, size=(32, 32))
    data = load(root, tmp_path)
    images = data.domains[2].images(np.array([7, 0]))
    assert images.dtype == torch.uint8
    for image, name in zip(images, ("dog/1", "cat/0"), strict=True):
        with Image.open(root / "sketch" / f"{name}.png") as expected:
            assert np.array_equal(image.numpy(), np.asarray(expected))


def test_unreadable_images_are_all_listed_and_refused(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(THREE_DOMAINS)
    (root / "sketch" / "dog" / "9.png").symlink_to(root / "nowhere.png")
    bad = ["art/dog/3.png", "photo/cat/0.png"]
    for name in bad:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError) as caught:
        load(root, tmp_path)
    message = str(caught.value)
    assert all(name in message for name in [*bad, "sketch/dog/9.png: No such file"])
    assert "3 images" in message
    assert "--skip-bad-images" in message


def test_skipped_images_are_recorded_and_the_rest_keep_their_labels(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(THREE_DOMAINS, size=(32, 32))
    (root / "art" / "cat" / "3.png").write_bytes(b"")
    data = load(root, tmp_path, skip_bad_images=True)
    assert data.skipped == ("art/cat/3.png",)
    art = data.domains[0]
    assert art.labels.tolist() == [0] * 5 + [1] * 6
    assert sorted([*art.in_indices, *art.out_indices]) == list(range(11))
    with Image.open(root / "art" / "cat" / "4.png") as expected:
        assert np.array_equal(art.images(np.array([3]))[0].numpy(), np.asarray(expected))


def test_a_class_whose_images_are_all_unreadable_is_refused(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(THREE_DOMAINS)
    for path in (root / "art" / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="No image in art/cat can be read"):
        load(root, tmp_path, skip_bad_images=True)


def test_a_domain_too_small_to_split_is_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(THREE_DOMAINS, count=1)
    with pytest.raises(DataError, match=r"Domain art of images: 2 images .*none for validation"):
        load(root, tmp_path)


def test_images_of_the_target_that_are_trained_on_are_counted(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder(THREE_DOMAINS)
    assert load(root, tmp_path).shared_images == 0
    with Image.open(root / "photo/cat/0.png") as image:
        image.save(root / "art/cat/copy.bmp")  # other bytes, the same pixels
        image.save(root / "photo/cat/again.png", compress_level=0)
    for _ in range(2):  # decoded, then taken from the cache
        assert load(root, tmp_path).shared_images == 2
        assert load(root, tmp_path, target="sketch").shared_images == 0
        assert load(root, tmp_path, target="photo", held_out_source="art").shared_images == 0
