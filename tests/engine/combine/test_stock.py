"""Model Stock, against the paper's equations written out in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.combine.stock import Stock, share_of_mean
from engine.errors import InputError
from engine.model import NETWORK
from engine.model.tensor_file import under_prefix
from engine.protocol import AnglesMeasured, BarrierMeasured, ModelPrepared, ParentMeasured
from tests.engine.combine.conftest import Family, do, evaluations
from tests.small_runs import read_events

NAMES = ("first", "second", "third")


def by_the_paper(start: Tensor, networks: Sequence[Tensor]) -> np.ndarray:
    """Return Model Stock of one tensor, with arccos and cos as the paper writes it."""
    w0 = start.numpy().astype(np.float64)
    changes = [each.numpy().astype(np.float64) - w0 for each in networks]
    cosines = []
    for one, other in itertools.combinations(changes, 2):
        lengths = math.sqrt((one**2).sum()) * math.sqrt((other**2).sum())
        cosines.append((one * other).sum() / lengths if lengths else 0.0)
    cosine, n = max(0.0, float(np.mean(cosines))), len(networks)
    t = 2 * cosine / (1 + cosine) if n == 2 else n * cosine / (1 + (n - 1) * cosine)
    mean = sum(each.numpy().astype(np.float64) for each in networks) / n
    return np.asarray(t * mean + (1 - t) * w0)


@pytest.mark.parametrize("names", [NAMES[:2], NAMES])
def test_a_stock_is_the_paper_s_for_each_tensor(family: Family, names: tuple[str, ...]) -> None:
    run_dir = family.combine("stock", *names, at="last")
    found, start = load_file(run_dir.best_checkpoint), load_file(family["start"].best_checkpoint)
    parents = [under_prefix(NETWORK, load_file(family[name].last_checkpoint)) for name in names]
    moved = 0
    for name, tensor in found.items():
        networks = [parent[name] for parent in parents]
        if not tensor.is_floating_point():
            assert torch.equal(tensor, networks[0])
        elif "running_" in name:
            assert torch.allclose(tensor, sum(networks, torch.tensor(0.0)) / len(names), atol=1e-6)
        else:
            expected = by_the_paper(start[name], networks)
            assert np.abs(tensor.numpy() - expected).max() <= 1e-6, name
            moved += not torch.allclose(tensor, torch.stack(networks).mean(0), atol=1e-6)
    assert moved > 0, "a stock is not the soup"
    events = read_events(run_dir)
    assert [type(e) for e in events].count(ParentMeasured) == len(names)
    assert [type(e) for e in events].count(BarrierMeasured) == len(names) - 1
    assert {m.arm for m in evaluations(run_dir)[len(names)].metrics} == {"stock"}
    (angles,) = [e for e in events if isinstance(e, AnglesMeasured)]
    assert angles.tensors == sum("running_" not in n and t.is_floating_point()
                                 for n, t in found.items())  # fmt: skip
    assert angles.mean_angle_deg is not None
    assert 0 < angles.mean_angle_deg < 120


def test_a_new_last_layer_is_averaged(family: Family, tmp_path: Path) -> None:
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(family["start"].best_checkpoint), bare)  # without the names of classes
    for seed, name in enumerate(("one", "two")):
        family.train(name, weights=str(bare), steps=4, seed=seed)
    run_dir = family.combine("stock", "one", "two")
    prepared = next(each for each in read_events(run_dir) if isinstance(each, ModelPrepared))
    assert prepared.loaded is not None
    assert not prepared.loaded.is_kept
    found = load_file(run_dir.best_checkpoint)
    one, two = (load_file(family[name].best_checkpoint) for name in ("one", "two"))
    for name in ("fc.weight", "fc.bias"):
        assert torch.allclose(found[name], (one[name] + two[name]) / 2, atol=1e-6)


def stock_of(start: Sequence[float], *networks: Sequence[float]) -> tuple[list[float], Stock]:
    stock = Stock({"w": torch.tensor(start)})
    for each in networks:
        stock.add({"w": torch.tensor(each)})
    return stock.weights()["w"].tolist(), stock


def test_half_of_the_way_at_an_angle_of_cosine_one_third() -> None:
    sine = math.sqrt(1 - 1 / 9)
    weights, stock = stock_of([1.0, 1.0], [2.0, 1.0], [1 + 1 / 3, 1 + sine])
    assert stock.cosines()["w"] == pytest.approx(1 / 3)
    assert weights == pytest.approx([1 + 0.5 * (2 / 3), 1 + 0.5 * sine / 2])
    told = stock.describe()
    assert told.tensors == 1
    assert told.mean_angle_deg == pytest.approx(math.degrees(math.acos(1 / 3)))
    assert told.mean_share == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ([(2.0, 1.0), (3.0, 1.0)], [2.5, 1.0]),  # one direction: the mean
        ([(2.0, 1.0), (1.0, 2.0)], [1.0, 1.0]),  # a right angle: the pre-trained weights
        ([(2.0, 1.0), (0.0, 1.0)], [1.0, 1.0]),  # opposite
        ([(2.0, 1.0), (1.0, 1.0)], [1.0, 1.0]),  # one did not move
        ([(1.0, 1.0), (1.0, 1.0)], [1.0, 1.0]),  # none moved
        ([(2.0, 1.0), (0.0, 1.0), (1.0, 0.0)], [1.0, 1.0]),  # a mean cosine below 0
    ],
)
def test_where_the_angle_is_extreme(
    networks: list[tuple[float, float]], expected: list[float]
) -> None:
    assert stock_of([1.0, 1.0], *networks)[0] == pytest.approx(expected, abs=1e-7)


def test_without_a_tensor_that_moved_there_is_no_angle() -> None:
    _, stock = stock_of([1.0], [1.0], [2.0])
    assert stock.describe() == AnglesMeasured(tensors=0, mean_angle_deg=None, mean_share=None)


@pytest.mark.parametrize("count", [2, 5, 100])
def test_the_share_rises_from_nothing_to_all(count: int) -> None:
    shares = [share_of_mean(cosine, count) for cosine in (-1.0, 0.0, 0.2, 0.7, 1.0, 1 + 1e-12)]
    assert shares == sorted(shares)
    assert (shares[0], shares[1], shares[-1]) == (0, 0, 1)


def test_runs_from_other_weights_are_refused(family: Family) -> None:
    for name in ("other", "another"):
        family.train(name, steps=1, weights="none")
    with pytest.raises(InputError, match="weights is .* in run first but none in run other: they "):
        do(family.make("stock", "first", "other"))
    with pytest.raises(InputError, match="did not start from pre-trained .* vld combine soup"):
        do(family.make("stock", "other", "another"))
    do(family.make("soup", "first", "other"))


def test_pruned_runs_keep_their_common_zeros(family: Family) -> None:
    family.train("sparse", steps=1, sparsity=0.5, seed=1)
    with pytest.raises(InputError, match=r"sparsity is 0 in run first but 0\.5 in run sparse"):
        do(family.make("stock", "first", "sparse"))
    family.train("other", steps=2, sparsity=0.5, seed=2)
    found = load_file(family.combine("stock", "sparse", "other").best_checkpoint)
    parent = load_file(family["sparse"].best_checkpoint)
    name = "layer1.0.conv2.weight"
    assert int((parent[name] == 0).sum()) >= parent[name].numel() // 2
    assert torch.equal(found[name] == 0, parent[name] == 0)


def test_linear_tuning_is_refused(family: Family) -> None:
    fields = {"model": "test_vit", "tuning": "linear", "steps": 1, "weights": "none"}
    for name in ("one", "two"):
        family.train(name, **fields)
    for name in ("one", "two"):
        text = family[name].spec.read_text()
        family[name].spec.write_text(text.replace('"weights": "none"', '"weights": "pretrained"'))
    with pytest.raises(InputError, match="tuning is 'linear' in run one.* vld combine soup"):
        do(family.make("stock", "one", "two"))


def test_a_weight_file_that_has_changed_is_refused(family: Family, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(family["start"].best_checkpoint.read_bytes())
    family.train("one", weights=str(weights), steps=1)
    weights.write_bytes(family["first"].best_checkpoint.read_bytes())
    family.train("two", weights=str(weights), steps=1)
    with pytest.raises(InputError, match=r"has changed since run one .* vld combine soup"):
        do(family.make("stock", "two", "one"))
