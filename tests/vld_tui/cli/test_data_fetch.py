"""``vld data fetch`` with the real hub client, against a hub on the loopback interface."""

from __future__ import annotations

import functools
import io
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from engine.datasets.study_sets import BLOCK_BYTES, STUDY_SETS
from tests.engine.datasets.hub_server import REVISION, Hub, serve
from tests.engine.datasets.published_sets import image_table
from tests.vld_tui.cli.conftest import Vld

CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
DOMAINS = tuple(STUDY_SETS["PACS"].images)
NAME = "data/train-00000-of-00001.parquet"


def noise(seed: int, side: int) -> bytes:
    """Return a JPEG that does not compress to nothing."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def small_pacs(side: int = 16, *, column: str = "domain") -> bytes:
    """Return a parquet file of one image for each class of each domain of PACS."""
    rows = [
        {"image": {"bytes": noise(7 * number + label, side)}, column: domain, "label": label}
        for number, domain in enumerate(DOMAINS)
        for label in range(7)
    ]
    file = io.BytesIO()
    pyarrow.parquet.write_table(image_table(rows, CLASSES), file)
    return file.getvalue()


@functools.cache
def large_pacs() -> bytes:
    """Return a file that is read in several blocks."""
    content = small_pacs(1000)
    assert len(content) > 2 * BLOCK_BYTES
    return content


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Serve a small PACS; the hub client is pointed at it by its own settings."""
    with serve(Hub({NAME: small_pacs(), "README.md": b"# PACS"})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


def left_in(vld: Vld) -> set[str]:
    return {path.name for path in (vld.home / "data").iterdir()}


def test_a_set_is_fetched_imported_counted_and_ready_for_a_run(vld: Vld, hub: Hub) -> None:
    fetched = vld("data", "fetch", "PACS")
    assert fetched.exit_code == 0, fetched.stderr
    assert "PACS  28 images, 7 classes  (incomplete)" in fetched.stdout
    assert "7  sketch  of 3,929 published" in fetched.stdout
    assert f"from huggingface.co/datasets/flwrlabs/pacs at {REVISION}" in fetched.stdout
    assert "vld run --dataset PACS --target sketch" in fetched.stdout
    assert left_in(vld) == {"PACS"}
    images = vld.home / "data" / "PACS" / "images"
    assert (images / "art_painting" / "dog" / "000000.jpg").read_bytes() == noise(0, 16)
    assert not any("README" in path for _, path, _ in hub.asked)
    cached = vld.json("data", "cache", "PACS", "--image-size", "32")
    assert (cached["images"], cached["unreadable"]) == (28, {})
    (listing,) = vld.json("data", "ls", "PACS")
    assert (listing["complete"], listing["classes"]) == (False, list(CLASSES))
    again = vld("data", "fetch", "PACS")
    assert again.exit_code == 2
    assert "already" in again.stderr


def test_counts_that_match_are_complete(
    vld: Vld, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"image": {"bytes": noise(0, 8), "path": None}, "domain": domain, "label": number % 7}
        for domain, images in STUDY_SETS["PACS"].images.items()
        for number in range(images)
    ]
    file = io.BytesIO()
    pyarrow.parquet.write_table(image_table(rows, CLASSES), file)
    hub.files = {NAME: file.getvalue()}
    fetched = vld.json("data", "fetch", "PACS")
    assert fetched["complete"]
    assert sum(domain["images"] for domain in fetched["domains"]) == 9991


def test_a_connection_that_drops_is_taken_up_by_the_client(vld: Vld, hub: Hub) -> None:
    hub.files = {NAME: large_pacs()}
    hub.drop_from = BLOCK_BYTES
    fetched = vld("data", "fetch", "PACS")
    assert fetched.exit_code == 0, fetched.stderr
    first, second, again, *_ = hub.ranges(NAME)
    assert first == f"bytes=0-{BLOCK_BYTES - 1}"
    assert second == again == f"bytes={BLOCK_BYTES}-{2 * BLOCK_BYTES - 1}"


def test_an_interrupted_download_goes_on_where_it_was(vld: Vld, hub: Hub) -> None:
    hub.files = {NAME: large_pacs()}
    hub.stall_from = BLOCK_BYTES
    with vld.start("data", "fetch", "PACS") as process:
        assert hub.stalled.wait(60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert left_in(vld) == {".PACS.download"}
    assert [each["where"] for each in vld.json("data", "ls", "PACS")] == [None]
    hub.stall_from = None
    hub.released.set()
    asked_before = len(hub.ranges(NAME))
    fetched = vld("data", "fetch", "PACS")
    assert fetched.exit_code == 0, fetched.stderr
    assert hub.ranges(NAME)[asked_before] == f"bytes={BLOCK_BYTES}-{2 * BLOCK_BYTES - 1}"
    assert left_in(vld) == {"PACS"}


def test_files_that_came_whole_are_not_asked_for_again(vld: Vld, hub: Hub) -> None:
    second = "data/train-00001-of-00002.parquet"
    hub.files = {NAME: small_pacs(), second: small_pacs(column="style")}
    assert vld("data", "fetch", "PACS").exit_code == 2
    assert left_in(vld) == {".PACS.download"}
    assert len(hub.ranges(NAME)) == 1
    vld("data", "fetch", "PACS")
    assert len(hub.ranges(NAME)) == len(hub.ranges(second)) == 1


def test_content_with_another_checksum_is_thrown_away(vld: Vld, hub: Hub) -> None:
    hub.checksums[NAME] = "0" * 64
    fetched = vld("data", "fetch", "PACS")
    assert fetched.exit_code == 2
    assert "was damaged in the download and deleted" in fetched.stderr
    hub.checksums.clear()
    assert vld("data", "fetch", "PACS").exit_code == 0


def test_other_columns_are_named_and_nothing_is_kept(vld: Vld, hub: Hub) -> None:
    hub.files = {NAME: small_pacs(column="style")}
    fetched = vld("data", "fetch", "PACS")
    assert fetched.exit_code == 2
    assert "no column domain; its columns are image, style, label" in fetched.stderr
    assert "PACS" not in left_in(vld)


def test_a_set_that_lost_its_tables_says_how_else_to_get_it(vld: Vld, hub: Hub) -> None:
    hub.files = {"README.md": b"moved"}
    fetched = vld("data", "fetch", "PACS")
    assert fetched.exit_code == 2
    assert "no longer has parquet files on the hub" in fetched.stderr
    assert "vld data add PACS PATH" in fetched.stderr


def test_without_a_network_the_archive_and_the_next_command_are_named(
    vld: Vld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetched = vld("data", "fetch", "PACS")
    assert fetched.exit_code == 2
    assert "cannot be downloaded from the Hugging Face hub: " in fetched.stderr
    assert "PACS.zip" in fetched.stderr
    assert "vld data add PACS PATH" in fetched.stderr


@pytest.mark.parametrize("name", ["VLCS", "TerraIncognita"])
def test_what_is_on_no_hub_names_its_archive(vld: Vld, name: str) -> None:
    fetched = vld("data", "fetch", name)
    assert fetched.exit_code == 2
    assert f"{name} is not on the hub. Download it manually from https://" in fetched.stderr
    assert "terms of use" in fetched.stderr
    assert ".tar.gz" in fetched.stderr
    assert f"vld data add {name} PATH" in fetched.stderr


def test_an_unknown_name_is_answered_with_the_nearest(vld: Vld) -> None:
    fetched = vld("data", "fetch", "PCAS")
    assert fetched.exit_code == 2
    assert "Did you mean PACS?" in fetched.stderr
