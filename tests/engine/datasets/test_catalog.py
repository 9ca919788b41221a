from pathlib import Path

import pytest

from engine.datasets.catalog import find_image_set, find_target, list_datasets
from engine.datasets.study_sets import STUDY_SETS
from engine.errors import DataError
from engine.protocol import RunSpec, resolve_spec


def test_the_embedded_data_set_is_found_by_name() -> None:
    image_set = find_image_set(resolve_spec({}))
    assert image_set.name == "objects-drawn"
    assert image_set.domains == ("clipart", "emoji", "lineart")


def test_an_unknown_data_set_names_the_nearest_and_the_way_out() -> None:
    with pytest.raises(DataError, match=r"'emojis'\. Did you mean emoji\?.*vld data ls"):
        find_image_set(RunSpec(dataset="emojis"))


def test_a_folder_is_taken_before_a_name(small_emoji: Path) -> None:
    image_set = find_image_set(RunSpec(dataset="emoji", data_dir=str(small_emoji)))
    assert image_set.location == small_emoji
    assert image_set.classes == ("animal", "face", "food")


def test_an_unknown_target_names_the_domains_and_the_nearest(small_emoji: Path) -> None:
    image_set = find_image_set(RunSpec(data_dir=str(small_emoji)))
    with pytest.raises(DataError) as caught:
        find_target(image_set, "fluent-nono")
    assert "fluent, fluent-mono, noto, twemoji" in str(caught.value)
    assert "Did you mean fluent-mono" in str(caught.value)


def test_a_target_must_be_chosen() -> None:
    with pytest.raises(DataError, match=r"--target, .*: fluent, fluent-mono, noto, twemoji"):
        find_target(find_image_set(RunSpec(dataset="emoji")), None)


def test_listing_counts_the_images_of_each_domain(tmp_path: Path) -> None:
    emoji, drawn, *absent = list_datasets(tmp_path)
    assert {each.name for each in absent} == set(STUDY_SETS)
    assert not any(each.complete or each.where for each in absent)
    assert emoji.name == "emoji"
    assert emoji.complete
    assert (drawn.name, drawn.complete) == ("objects-drawn", True)
    assert {domain.name: domain.images for domain in emoji.domains} == {
        "fluent": 1219,
        "fluent-mono": 1219,
        "noto": 1230,
        "twemoji": 1230,
    }
    assert len(emoji.classes) == 18
