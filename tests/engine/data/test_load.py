"""Loading, splits and a held-out source, whose accuracy chooses among settings.

Splits are compared with values derived from their definition without NumPy.

``seed_hash(0, 1)``: ``printf '(0, 1)' | md5sum`` gives 4dabab2d922d2e80fc4d8be85a41ff51, whose last
31 bits are 0x5a41ff51 = 1514274641. The shuffles follow from the Mersenne Twister seeded with that
number (Knuth's recurrence fills its state) and Fisher and Yates's algorithm from the end, a place
below i drawn by masking 32 bits and drawing again when too large: :func:`shuffled` below.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import RunData, load_data, seed_hash, split_groups, split_indices
from engine.errors import DataError
from engine.protocol import resolve_spec
from tests.engine.datasets.image_folders import MakeFolder

THREE_DOMAINS = {"photo": ("cat", "dog"), "art": ("cat", "dog"), "sketch": ("cat", "dog")}
DOMAINS = ("art", "photo", "sketch")


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


def shuffled(count: int, seed: int) -> list[int]:
    state = [seed]
    for index in range(1, 624):
        state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + index) % 2**32)
    twister = random.Random()
    twister.setstate((3, (*state, 624), None))
    values = list(range(count))
    for last in range(count - 1, 0, -1):
        mask = 2 ** last.bit_length() - 1
        while (place := twister.getrandbits(32) & mask) > last:
            pass
        values[last], values[place] = values[place], values[last]
    return values


@pytest.mark.parametrize(
    ("values", "digest", "expected"),
    [
        ((0, 0), "bb9fd77684530503f3765280b54c2413", 894182419),
        ((0, 1), "4dabab2d922d2e80fc4d8be85a41ff51", 1514274641),
        ((7, 3), "6929c668534fd655198295b7e88e0d6c", 1754140012),
    ],
)
def test_seed_is_the_md5_of_the_values_as_a_tuple(
    values: tuple[int, int], digest: str, expected: int
) -> None:
    assert hashlib.md5(str(values).encode(), usedforsecurity=False).hexdigest() == digest
    assert int(digest, 16) % 2**31 == expected
    assert seed_hash(*values) == expected


@pytest.mark.parametrize(
    ("trial_seed", "domain_index", "expected"),
    [
        (0, 0, [2, 3, 8, 1, 4, 5, 0, 9, 6, 7]),
        (0, 1, [5, 0, 3, 7, 8, 6, 1, 2, 9, 4]),
        (7, 3, [9, 2, 1, 5, 8, 7, 0, 4, 3, 6]),
    ],
)
def test_split_of_ten_images(trial_seed: int, domain_index: int, expected: list[int]) -> None:
    in_indices, out_indices = split_indices(10, 0.2, trial_seed, domain_index)
    assert out_indices.tolist() == expected[:2]
    assert in_indices.tolist() == expected[2:]


@pytest.mark.parametrize("count", [1230, 4879])
def test_split_of_a_whole_domain_follows_the_definition(count: int) -> None:
    expected = shuffled(count, seed_hash(3, 2))
    in_indices, out_indices = split_indices(count, 0.2, 3, 2)
    assert out_indices.tolist() == expected[: int(count * 0.2)]
    assert in_indices.tolist() == expected[int(count * 0.2) :]


def test_fraction_is_rounded_down_as_int_does() -> None:
    _, out_indices = split_indices(1219, 0.2, 0, 0)
    assert len(out_indices) == 243


@pytest.mark.parametrize(
    ("count", "fraction", "lacking"),
    [(4, 0.2, "validation"), (1, 0.99, "validation"), (0, 0.5, "validation")],
)
def test_an_empty_side_is_refused(count: int, fraction: float, lacking: str) -> None:
    with pytest.raises(DataError, match=lacking):
        split_indices(count, fraction, 0, 0)


@pytest.mark.parametrize("sizes", [[1] * 10, [5, 1, 1, 1, 1, 1], [9, 1], [3, 3, 3], [1, 40]])
@pytest.mark.parametrize("seed", range(4))
def test_all_images_of_a_group_are_on_one_side(sizes: list[int], seed: int) -> None:
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    in_indices, out_indices = split_groups(groups, 0.2, seed, 1)
    assert sorted([*in_indices, *out_indices]) == list(range(len(groups)))
    assert len(in_indices) > 0
    assert len(out_indices) >= min(int(len(groups) * 0.2), *sizes)
    assert {groups[i] for i in in_indices}.isdisjoint(groups[i] for i in out_indices)
    again = split_groups(groups, 0.2, seed, 1)
    assert [part.tolist() for part in again] == [in_indices.tolist(), out_indices.tolist()]


def test_the_split_of_groups_depends_on_the_seed() -> None:
    groups = [str(number // 3) for number in range(60)]
    found = {tuple(split_groups(groups, 0.2, seed, 0)[1].tolist()) for seed in range(5)}
    assert len(found) == 5


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(DataError, match="all images are in the group x, so none are left"):
        split_groups(["x"] * 9, 0.2, 0, 0)


def test_groups_are_held_out_by_their_images_whatever_the_order_of_files() -> None:
    groups = [f"g{number}" for number in range(10) for _ in range(1 if number else 31)]
    counts = set()
    for seed in range(8):
        out = {groups[index] for index in split_groups(groups, 0.2, seed, 0)[1]}
        reverse = groups[::-1]
        assert {reverse[index] for index in split_groups(reverse, 0.2, seed, 0)[1]} == out
        counts.add(len(out))
    assert max(counts) == 8, "8 of 40 images are held out: 8 groups of one"
    assert min(counts) < 8, "or fewer groups, of which one has 31"


def _load(
    make_folder: MakeFolder,
    tmp_path: Path,
    held_out: str | None,
    domains: tuple[str, ...] = DOMAINS,
) -> RunData:
    folder = make_folder(dict.fromkeys(domains, ("cat", "dog")))
    spec = resolve_spec(
        {"data_dir": str(folder), "target": "sketch", "held_out_source": held_out, "image_size": 32}
    )
    return load_data(spec, tmp_path / "cache")


def test_it_is_neither_source_nor_target(make_folder: MakeFolder, tmp_path: Path) -> None:
    data = _load(make_folder, tmp_path, "photo")
    assert [domain.name for domain in data.sources] == ["art"]
    assert [domain.name for domain in data.held_out] == ["photo"]
    assert data.target is not None
    assert data.target.name == "sketch"


def test_ordinarily_there_is_none(make_folder: MakeFolder, tmp_path: Path) -> None:
    data = _load(make_folder, tmp_path, None)
    assert len(data.sources) == 2
    assert data.held_out == ()


@pytest.mark.parametrize("name", ["sketch", "photos"])
def test_only_a_source_can_be_held_out(make_folder: MakeFolder, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"is not a source .* --held-out-source: art, photo"):
        _load(make_folder, tmp_path, name)


def test_one_source_must_be_left(make_folder: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the only source"):
        _load(make_folder, tmp_path, "art", ("art", "sketch"))
