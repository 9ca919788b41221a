"""A source may be left out of training too, for its accuracy to choose among settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data import RunData, load_data
from engine.errors import DataError
from engine.protocol import resolve_spec
from tests.engine.datasets.image_folders import MakeFolder

DOMAINS = ("art", "photo", "sketch")


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
