"""The split, against values derived from its definition without NumPy.

``seed_hash(0, 1)``: ``printf '(0, 1)' | md5sum`` gives 4dabab2d922d2e80fc4d8be85a41ff51, whose last
31 bits are 0x5a41ff51 = 1514274641. The shuffles follow from the Mersenne Twister seeded with that
number (Knuth's recurrence fills its state) and Fisher and Yates's algorithm from the end, a place
below i drawn by masking 32 bits and drawing again when too large: :func:`shuffled` below.
"""

import hashlib
import random

import pytest

from engine.data import seed_hash, split_groups, split_indices
from engine.datasets import DataError


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
