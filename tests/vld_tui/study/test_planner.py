"""What there is to make runs of, asked of the real engine, and presets in a real history."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.datasets.register import add_dataset
from engine.protocol import resolve_spec
from engine.protocol.datasets import AddDataset
from engine.protocol.embedded import EMBEDDED_DOMAINS
from engine.protocol.feature_costs import FeatureCost, FeatureCosts, FeatureQuestion
from vld_tui.home import open_home
from vld_tui.launch.datasets import DatasetError
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.forecast import ImageCounts
from vld_tui.study.planner import (
    FORM_PRESETS_SETTING,
    MOST_SOURCES,
    LocalPlanner,
    Network,
    drop_form_preset,
    keep_form_preset,
    read_form_presets,
)


def test_data_sets_are_found_by_name_and_by_folder(tmp_path: Path, small_emoji: Path) -> None:
    home = open_home(tmp_path / "home")
    add_dataset(AddDataset(str(home.datasets), "small", str(small_emoji)), lambda _: None)
    planner = LocalPlanner(home)
    listings = {listing.name: listing for listing in planner.datasets()}
    assert {"objects-drawn", "small", "PACS"} <= set(listings)
    assert planner.dataset_of(resolve_spec({})) == listings["objects-drawn"]
    assert planner.dataset_of(resolve_spec({"dataset": "small"})) == listings["small"]
    folder = planner.dataset_of(resolve_spec({"data_dir": str(small_emoji)}))
    assert (folder.name, len(folder.classes)) == ("small-emoji", 3)


def test_what_cannot_be_found_is_refused_in_the_words_of_the_command_line(tmp_path: Path) -> None:
    planner = LocalPlanner(open_home(tmp_path / "home"))
    with pytest.raises(
        DatasetError, match="PACS is not on this machine. Download it with: vld data fetch PACS"
    ):
        planner.dataset_of(resolve_spec({"dataset": "PACS"}))
    with pytest.raises(DatasetError, match=r"no data set named 'emojy'. Did you mean emoji\?"):
        planner.dataset_of(resolve_spec({"dataset": "emojy"}))
    with pytest.raises(DatasetError, match="/nowhere"):
        planner.dataset_of(resolve_spec({"data_dir": "/nowhere"}))


def test_features_are_asked_about_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[int] = []

    def answer(_subject: str, text: str, **_: object) -> object:
        sources = msgspec.json.decode(text, type=FeatureQuestion).sources
        parts.append(len(sources))
        costs = tuple(FeatureCost(array_bytes=each.spec.image_size) for each in sources)
        return msgspec.to_builtins(FeatureCosts(costs, 9, 9))

    monkeypatch.setattr("vld_tui.study.planner.ask_engine", answer)
    values = {"tuning": "linear", "target": "noto"}
    sides = range(32, 32 + MOST_SOURCES + 2)
    specs = [resolve_spec({**values, "image_size": side}) for side in sides for _ in range(2)]
    planner = LocalPlanner(open_home(tmp_path / "home"))
    found = planner.features(specs, lambda *_: ImageCounts(4, 10), times_steps=False)
    assert found is not None
    assert [cost.array_bytes for cost in found.costs.values()] == list(sides)
    assert parts == [MOST_SOURCES, 2]
    assert planner.features([resolve_spec({})], lambda *_: None, times_steps=False) is None


def test_networks_are_asked_for_once_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def answer(*words: str, on_start: object) -> object:
        asked.append(words)
        return [{"name": "far", "weights": "hub"}, {"name": "near", "weights": "packaged"}]

    monkeypatch.setattr("vld_tui.study.planner.ask_engine", answer)
    home = open_home(tmp_path / "home")
    planner = LocalPlanner(home)
    assert planner.known_networks() == ()
    found = planner.networks()
    assert found == planner.networks() == (Network("near", "packaged"), Network("far", "hub"))
    assert asked == [("models", "*")]
    assert LocalPlanner(home).known_networks() == found
    (home.cache / "networks.json").write_bytes(b"{")
    assert LocalPlanner(home).known_networks() == ()


def test_every_network_that_the_engine_names_is_taken(tmp_path: Path) -> None:
    planner = LocalPlanner(open_home(tmp_path / "home"))
    networks = planner.networks()
    assert len(networks) > 500
    assert Network("tf_efficientnet_lite0", "packaged") in networks[:50]
    spec = msgspec.structs.replace(resolve_spec({}), model=networks[-1].name)
    assert planner.forecast(spec, None).wall_s is None


def test_presets_are_kept_replaced_and_forgotten(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    with Store.open(home) as store:
        keep_form_preset(store, " second ", {"seed": "0,1"})
        keep_form_preset(store, "First", {"lr": "0.1"})
        keep_form_preset(store, "second", {"seed": "0,1,2"})
    with Store.open(home) as store:
        kept = read_form_presets(store)
        assert list(kept.items()) == [("First", {"lr": "0.1"}), ("second", {"seed": "0,1,2"})]
        drop_form_preset(store, "First")
        drop_form_preset(store, "never there")
        assert list(read_form_presets(store)) == ["second"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "\ud800"])
def test_a_name_that_cannot_be_used_is_refused(tmp_path: Path, name: str) -> None:
    with Store.open(open_home(tmp_path / "home")) as store:
        with pytest.raises(StoreError, match="A preset name"):
            keep_form_preset(store, name, {})
        assert read_form_presets(store) == {}


def test_what_is_no_preset_is_passed_over(tmp_path: Path) -> None:
    with Store.open(open_home(tmp_path / "home")) as store:
        store.settings.put(FORM_PRESETS_SETTING, ["nonsense"])
        assert read_form_presets(store) == {}


def test_an_exclude_list_is_read_with_the_images_of_each_embedded_data_set(tmp_path: Path) -> None:
    nothing = tmp_path / "list.csv"
    nothing.write_text("path,action\n")
    planner = LocalPlanner(open_home(tmp_path / "home"))
    for dataset, domains in EMBEDDED_DOMAINS.items():
        spec = resolve_spec({"dataset": dataset, "exclude": str(nothing)})
        assert tuple(each.name for each in planner.dataset_of(spec).domains) == domains
