"""The target of a run is not what training images are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.protocol import resolve_spec
from engine.protocol.datasets import AddDataset, DatasetListing
from engine.protocol.image_features import ImagesOf
from engine.protocol.nearest_images import FindNearest
from engine.protocol.work import WorkNote
from tests.engine.datasets.image_folders import fill_folder
from vld_tui.control.nearest_images import NearestError, find_nearest, target_runs
from vld_tui.home import Home
from vld_tui.launch.datasets import work_on_datasets
from vld_tui.launch.local import LaunchError
from vld_tui.store.store import Store

DOMAINS = ("drawn", "photo", "toy")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(Home(tmp_path)) as opened:
        yield opened


def ask(images: ImagesOf, real: ImagesOf) -> FindNearest:
    return FindNearest(
        images=images, real=real, keep=0.5, model="x", weights="none", image_size=32, cache_dir="/c"
    )


def test_real_images_of_a_target_are_refused_by_name_and_by_folder(
    store: Store, tmp_path: Path
) -> None:
    folder = fill_folder(tmp_path / "pets", dict.fromkeys(DOMAINS, ("cat", "dog")), 2)
    work_on_datasets(AddDataset(str(store.home.datasets), "pets", str(folder)), DatasetListing)
    added = str(store.home.datasets / "pets")
    store.runs.create(resolve_spec({"dataset": "pets", "data_dir": added, "target": "photo"}))
    store.runs.create(resolve_spec({"dataset": "emoji", "target": "noto"}))
    store.runs.create(resolve_spec({"data_dir": str(folder), "target": "none"}))
    for real in (
        ImagesOf("pets", added), ImagesOf("pets", str(folder), ("toy", "photo")),
        ImagesOf("emoji"), ImagesOf("emoji", None, ("noto",)),
    ):  # fmt: skip
        assert len(target_runs(store, real)) == 1
        with pytest.raises(
            NearestError, match=r"(photo|noto) is the target of run .* on the images of"
        ):
            find_nearest(store, ask(ImagesOf("other", "/other"), real))
    for real in (
        ImagesOf("pets", added, ("toy", "drawn")), ImagesOf("emoji", None, ("fluent",)),
        ImagesOf("photo", str(tmp_path / "elsewhere")), ImagesOf("objects-drawn"),
    ):  # fmt: skip
        assert target_runs(store, real) == []


def test_leaving_out_images_of_a_target_is_reported(store: Store) -> None:
    store.runs.create(resolve_spec({"dataset": "emoji", "target": "noto"}))
    notes: list[object] = []
    request = ask(ImagesOf("emoji"), ImagesOf("objects-drawn"))
    with pytest.raises(LaunchError):
        find_nearest(store, request, notes.append, ["/bin/false"])
    (note,) = notes
    assert isinstance(note, WorkNote)
    assert "! noto is the target of run " in note.text
