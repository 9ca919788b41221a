"""Features of a frozen network are computed once, shared, and never used when damaged."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from engine.cache import SPARE_BYTES, lock_of
from engine.data import RunData, load_data
from engine.data.transforms import network_input
from engine.errors import InputError
from engine.execution import Execution
from engine.features import CachedFeatures, cached_features
from engine.features.views import Views
from engine.model import FineTunedNetwork, build_network
from engine.protocol import resolve_spec
from engine.rundir.lock import held
from tests.engine.damaged_entries import DAMAGES, damage_entry
from tests.engine.datasets.image_folders import MakeFolder
from tests.waiting import wait_until

TWO_DOMAINS = {"photo": ("cat", "dog"), "art": ("cat", "dog")}
CPU = Execution(torch.device("cpu"), "fp32", "contiguous")


@pytest.fixture
def data(make_folder: MakeFolder, tmp_path: Path) -> RunData:
    return load(make_folder(TWO_DOMAINS, size=(40, 36)), tmp_path)


def load(root: Path, tmp_path: Path, **fields: object) -> RunData:
    values = {"data_dir": str(root), "target": "art", "image_size": 32, **fields}
    return load_data(resolve_spec(values), tmp_path / "cache")


def network(tuning: Any = "linear", seed: int = 0, **options: Any) -> FineTunedNetwork:
    return build_network(
        "test_vit", classes=2, weights="none", image_size=32, seed=seed, tuning=tuning, **options
    )


def compute(
    data: RunData,
    tmp_path: Path,
    of: FineTunedNetwork | None = None,
    views: int = 2,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    **options: Any,
) -> CachedFeatures:
    return cached_features(
        of or network(), data, tmp_path / "cache", lambda: CPU,
        model="test_vit", views=views, batch_size=5, on_progress=on_progress, **options,
    )  # fmt: skip


def arrays(found: CachedFeatures) -> list[np.ndarray[Any, Any]]:
    return [np.array(each.array) for each in (found.features.plain, *found.features.views)]


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "features").glob("*/features.bin"))


@pytest.mark.parametrize("transforms", ["batch", "pil"])
@pytest.mark.parametrize(
    ("tuning", "features"), [("linear", "blocks"), ("linear", "penultimate"), ("full", "blocks")]
)
def test_features_are_those_that_the_network_computes(
    data: RunData, tmp_path: Path, tuning: str, features: str, transforms: Any
) -> None:
    of = network(tuning, linear_features=features)
    found = compute(data, tmp_path, of, transforms=transforms)
    rows, views = np.arange(24), Views(data, transforms)
    for view, array in zip((None, 0, 1), arrays(found), strict=True):
        images = network_input(views.images(rows, view), of.mean, of.std)
        with torch.inference_mode():
            given: Any = of.module
            direct = given.forward_features(images) if tuning == "linear" else of.features(images)
        assert torch.allclose(torch.from_numpy(array), direct, atol=1e-5)
    assert (found.images, found.computed, found.notes) == (72, 72, ())
    assert found.size_bytes == sum(each.nbytes for each in arrays(found))


def test_logits_of_features_are_those_of_the_images(data: RunData, tmp_path: Path) -> None:
    of = network()
    found = compute(data, tmp_path, of)
    rows, drawn = np.arange(24), np.arange(24) % 2
    views = Views(data, "batch")
    images = torch.stack([views.images(rows[i : i + 1], int(drawn[i]))[0] for i in rows])
    with torch.inference_mode():
        expected = of.module(network_input(images, of.mean, of.std))
        assert torch.allclose(
            of.module(found.features.take_views(rows, drawn)), expected, atol=1e-5
        )


def test_a_view_depends_on_the_image_and_its_number_only(
    data: RunData, make_folder: MakeFolder, tmp_path: Path
) -> None:
    rows = np.arange(24)
    first, again, other = (Views(data, "batch").images(rows, view) for view in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(Views(data, "batch").images(rows[7:9], 0), first[7:9])
    (tmp_path / "images" / "art" / "cat" / "0.png").unlink()
    fewer = load(tmp_path / "images", tmp_path)
    assert torch.equal(Views(fewer, "batch").images(rows[:23], 0), first[1:])


def test_a_second_call_computes_nothing_whatever_the_split(data: RunData, tmp_path: Path) -> None:
    expected = arrays(compute(data, tmp_path))
    other = load(data.image_set.location, tmp_path, target="photo", seed=5)

    def refuse() -> Execution:
        raise AssertionError("computed")

    found = cached_features(network(), other, tmp_path / "cache", refuse, model="test_vit", views=2)
    assert all(map(np.array_equal, arrays(found), expected))
    assert (found.images, found.computed) == (72, 0)


def test_more_views_are_added_to_those_that_exist(data: RunData, tmp_path: Path) -> None:
    one = arrays(compute(data, tmp_path, views=1))
    found = compute(data, tmp_path, views=3)
    assert found.computed == 48
    assert all(map(np.array_equal, arrays(found)[:2], one))


def test_full_networks_and_linear_ones_share_penultimate_features(
    data: RunData, tmp_path: Path
) -> None:
    compute(data, tmp_path, network("full"))
    assert compute(data, tmp_path, network(linear_features="penultimate")).computed == 0


@pytest.mark.parametrize("change", ["weights", "blocks", "image"])
def test_features_of_another_version_are_not_used(
    data: RunData, tmp_path: Path, change: str
) -> None:
    before = arrays(compute(data, tmp_path))
    of = network(
        seed=int(change == "weights"), linear_start="authors" if change == "blocks" else "ones"
    )
    if change == "image":
        shutil.copy(tmp_path / "images/photo/dog/5.png", tmp_path / "images/art/cat/0.png")
        os.utime(tmp_path / "images/art/cat/0.png", ns=(1, 1))
        data = load(tmp_path / "images", tmp_path)
    found = compute(data, tmp_path, of)
    assert found.computed == 72
    assert not np.array_equal(arrays(found)[0], before[0])
    assert [note[:32] for note in found.notes] == (
        ["Features of the same data set, n"] if change == "image" else []
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_features_are_noticed_and_computed_again(
    data: RunData, tmp_path: Path, damage: str
) -> None:
    expected = arrays(compute(data, tmp_path))
    file, *_ = files(tmp_path)
    damage_entry(file, damage)
    found = compute(data, tmp_path)
    assert found.computed == 24
    assert found.notes == ("Cached features were damaged and have been computed again.",)
    assert all(map(np.array_equal, arrays(found), expected))
    assert compute(data, tmp_path).computed == 0


def test_processes_that_need_features_at_once_share_one_computation(
    data: RunData, tmp_path: Path
) -> None:
    start = Barrier(4)

    def with_the_others(of: FineTunedNetwork) -> CachedFeatures:
        start.wait()
        return compute(data, tmp_path, of)

    with ThreadPoolExecutor(4) as pool:  # a lock on a file holds between threads as well
        found = list(pool.map(with_the_others, [network() for _ in range(4)]))
    assert sum(each.computed for each in found) == 72
    assert len(files(tmp_path)) == 3


def test_what_another_process_is_making_is_waited_for_last(data: RunData, tmp_path: Path) -> None:
    expected = arrays(compute(data, tmp_path))
    first = next(
        file.parent for file in files(tmp_path) if file.read_bytes() == expected[0].tobytes()
    )
    shutil.rmtree(first.parent)
    first.parent.mkdir()
    with ThreadPoolExecutor(1) as pool:
        with held(lock_of(first)):
            found = pool.submit(compute, data, tmp_path)
            wait_until(lambda: len(files(tmp_path)) == 2)
            assert not found.done()
        assert all(map(np.array_equal, expected, arrays(found.result())))


def test_a_full_disk_keeps_features_in_memory(
    data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = arrays(compute(data, tmp_path / "other"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    found = compute(data, tmp_path)
    assert all(map(np.array_equal, arrays(found), expected))
    (note,) = found.notes
    assert note.startswith(
        "Features are kept in memory for this run only, because they need 64.1 MiB "
    )
    assert files(tmp_path) == []


def test_features_that_fit_nowhere_are_refused(
    data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage, memory = shutil.disk_usage(tmp_path), psutil.virtual_memory()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=2**10))
    with pytest.raises(InputError, match=r"do not fit in memory \(0\.0 MiB available\).*--views"):
        compute(data, tmp_path)


def test_features_that_fit_in_part_only_are_refused_before_any_is_computed(
    data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array_bytes = compute(data, tmp_path / "other", views=0).size_bytes
    usage, memory = shutil.disk_usage(tmp_path), psutil.virtual_memory()
    room = SPARE_BYTES + array_bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=room))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=array_bytes))

    def refuse() -> Execution:
        raise AssertionError("computed")

    with pytest.raises(InputError, match=r"they need 64\.1 MiB on the disk .*do not fit in memory"):
        cached_features(network(), data, tmp_path / "cache", refuse, model="test_vit", views=2)
    assert files(tmp_path) == []


def test_only_what_is_missing_must_fit(
    data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(data, tmp_path, views=5)
    array_bytes = files(tmp_path)[0].stat().st_size
    usage, memory = shutil.disk_usage(tmp_path), psutil.virtual_memory()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    available = memory._replace(available=3 * array_bytes)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available)
    shutil.rmtree(files(tmp_path)[0].parent)
    assert compute(data, tmp_path, views=5).computed == 24


def test_a_cache_that_cannot_be_written_keeps_features_in_memory(
    data: RunData, tmp_path: Path
) -> None:
    (tmp_path / "cache" / "features").write_text("")
    (note,) = compute(data, tmp_path).notes
    assert "cannot be written: File exists" in note


def test_more_views_than_files_that_may_be_open(data: RunData, tmp_path: Path) -> None:
    compute(data, tmp_path, views=0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = psutil.Process().num_fds() + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, limits[1]))
    try:
        found = compute(data, tmp_path, views=30)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert found.notes == ()
    assert len(files(tmp_path)) == 31


def test_a_disk_that_fills_while_writing_leaves_nothing(
    data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        assert compute(data, tmp_path).notes
    left = (tmp_path / "cache" / "features").iterdir()
    assert {path.suffix for path in left} == {".lock"}


def test_a_computation_that_is_stopped_leaves_nothing(data: RunData, tmp_path: Path) -> None:
    reported = []

    def stop(done: int, total: int) -> None:
        reported.append((done, total))
        if done > 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute(data, tmp_path, on_progress=stop)
    assert reported == [(5, 72), (10, 72), (15, 72), (20, 72), (24, 72), (24, 72), (29, 72)]
    assert len(files(tmp_path)) == 1
    assert compute(data, tmp_path).computed == 48


def test_unreadable_images_have_no_features(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder(TWO_DOMAINS, size=(40, 36))
    (root / "art" / "dog" / "2.png").write_bytes(b"\0" * 100)
    data = load(root, tmp_path, skip_bad_images=True)
    plain, *views = arrays(compute(data, tmp_path))
    for array in (plain, *views):
        assert np.flatnonzero(~array.any(axis=(1, 2))).tolist() == [8]
