"""``vld data fetch objects``, and what the commands show of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.datasets.debian_packages import install_apt_get, package, photographs
from tests.engine.datasets.hub_server import REVISION, Hub, serve
from tests.vld_tui.cli.conftest import Vld
from tests.waiting import wait_until


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """Serve a package, and put an ``apt-get`` that knows it on the PATH."""
    content = package(photographs())
    with serve(Hub({"stamps.deb": content})) as server:
        folder = tmp_path / "bin"
        address = f"{server.endpoint}/datasets/{server.hub_id}/resolve/{REVISION}/stamps.deb"
        install_apt_get(folder, content, address=address)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


def left_in(vld: Vld) -> set[str]:
    return {path.name for path in (vld.home / "data").iterdir()}


def test_objects_are_made_of_a_given_package(vld: Vld, tmp_path: Path) -> None:
    deb = tmp_path / "stamps.deb"
    deb.write_bytes(package(photographs()))
    fetched = vld("data", "fetch", "objects", str(deb))
    assert fetched.exit_code == 0, fetched.stderr
    assert "14  photo  of 269 published" in fetched.stdout
    assert "photo GPL-2.0-or-later" in fetched.stdout
    assert "vld run --dataset objects --target photo" in fetched.stdout
    drawn = vld("data", "ls", "objects-drawn").stdout
    assert "licences: clipart public domain · emoji Apache-2.0 · lineart MIT" in drawn
    checked = vld.json("run", "--dataset", "objects", "--target", "photo", "--dry-run")
    assert checked["dataset"] == "objects"


def test_what_is_missing_says_how_to_get_it(vld: Vld) -> None:
    told = vld("data", "ls", "objects").stdout
    assert "vld data fetch objects." in told
    assert "vld data fetch objects DEB" in told
    assert "GPL-2 or later" in told
    run = vld("run", "--dataset", "objects", "--target", "photo", "--dry-run")
    assert "vld data fetch objects" in run.stderr


def test_an_interrupted_download_is_resumed(vld: Vld, server: Hub) -> None:
    server.stall_from = 0
    part = vld.home / "data" / ".objects.download" / "stamps_1_all.deb.part"
    with vld.start("data", "fetch", "objects") as process:
        assert server.stalled.wait(60)
        wait_until(lambda: part.exists() and part.stat().st_size == 1000)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert left_in(vld) == {".objects.download"}
    server.stall_from = None
    server.released.set()
    fetched = vld("data", "fetch", "objects")
    assert fetched.exit_code == 0, fetched.stderr
    assert server.ranges("stamps.deb") == [None, "bytes=1000-"]
    assert left_in(vld) == {"objects"}
