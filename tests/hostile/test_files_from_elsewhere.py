"""Files of every kind, broken in every way: told as what they are, never a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.datasets.archives import unpack
from engine.datasets.card import CARD_FILE, read_card
from engine.datasets.tables import TableSource
from engine.errors import DataError
from engine.failures import describe_failure
from engine.protocol import (
    CombinationError,
    EventDecodeError,
    PredictionsError,
    SpecError,
    decode_combination,
    decode_event,
    decode_predictions,
    decode_spec,
)
from engine.protocol.step_predictions import decode_images
from engine.rundir import RunDir
from engine.text import without_secrets
from engine.train.checkpoint import TrainingState, save_network
from tests.vld_tui.study.known_datasets import read
from vld_tui.home import Home, HomeError, open_home
from vld_tui.runs.fields import ConfigError, read_config
from vld_tui.store.errors import StoreError
from vld_tui.store.labels import check_name
from vld_tui.store.store import Store
from vld_tui.study.define.grid import StudyError

FEW = settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
SIGNS = st.text(alphabet=st.characters(exclude_categories=()), max_size=30)
DEEP = (b"[" * 50_000, b'{"a":' * 50_000, b"a = " + b"[" * 50_000, b'{"x": ' + b"[" * 50_000)
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
CONTENT = st.binary(max_size=200) | JSONISH.map(lambda value: str(value).encode(errors="replace"))


def _config(data: bytes, folder: Path) -> object:
    (folder / "run.toml").write_bytes(data)
    return read_config(folder / "run.toml")


def _study(data: bytes, _folder: Path) -> object:
    return read(data.decode(errors="replace"))


def _card(data: bytes, folder: Path) -> object:
    (folder / CARD_FILE).write_bytes(data)
    return read_card(folder)


def _table(data: bytes, folder: Path) -> object:
    (folder / "t.csv").write_bytes(b"path,label,domain\n" + data)
    return TableSource(folder / "t.csv", ("path", "label", "domain")).files()


def _user(data: bytes, folder: Path) -> object:
    (folder / "user.json").write_bytes(data)
    return RunDir(folder).read_user()


READERS: tuple[tuple[Callable[[bytes, Path], Any], type[Exception]], ...] = (
    (lambda data, _: decode_spec(data), SpecError),
    (lambda data, _: decode_combination(data), CombinationError),
    (lambda data, _: decode_predictions(data), PredictionsError),
    (lambda data, _: decode_event(data), EventDecodeError),
    (_config, ConfigError), (_study, StudyError), (_card, DataError), (_table, DataError),
    (_user, SpecError), (lambda data, _: decode_images(data), PredictionsError),
)  # fmt: skip
NAMES = (
    "spec", "combination", "predictions", "event", "config", "study", "card", "table", "user",
    "images",
)  # fmt: skip


@pytest.mark.parametrize(("reader", "error"), READERS, ids=NAMES)
@FEW
@given(data=CONTENT)
def test_any_bytes_are_read_or_refused(
    tmp_path: Path, reader: Callable[[bytes, Path], Any], error: type[Exception], data: bytes
) -> None:
    with contextlib.suppress(error):
        reader(data, tmp_path)


@pytest.mark.parametrize(("reader", "error"), READERS, ids=NAMES)
@pytest.mark.parametrize("data", [*DEEP, b"a\0b,x,y\n"])
def test_what_is_nested_too_deep_or_holds_nul_is_read_or_refused(
    tmp_path: Path, reader: Callable[[bytes, Path], Any], error: type[Exception], data: bytes
) -> None:
    with contextlib.suppress(error):
        reader(data, tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@FEW
@given(name=SIGNS)
def test_any_name_is_kept_as_it_is_or_refused(home: Home, name: str) -> None:
    with Store.open(home) as store:
        try:
            check_name(name)
        except StoreError:
            return
        run = store.runs.create(decode_spec(b"{}"), name=name, tags=("x",))
        assert store.runs.get(run.run_id).name == name
        assert [each.name for each in store.runs.find()].count(name) >= 1
    assert {path.parent for path in home.runs.iterdir()} == {home.runs}


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "/etc", "a/b", "a\0"])
def test_no_run_id_leads_out_of_the_home(home: Home, run_id: str) -> None:
    for folder_of in (home.run_dir, home.trashed_run_dir):
        with pytest.raises(HomeError, match="is not a valid folder name"):
            folder_of(run_id)


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_an_archive_that_grows_as_no_images_do_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr("engine.datasets.archives.SMALL_BYTES", 2**20)
    path, into = tmp_path / f"bomb.{form}", tmp_path / "into"
    into.mkdir()
    content = bytes(8 * 2**20)
    if form == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/b/0.bmp", content)
    else:
        info = tarfile.TarInfo("a/b/0.bmp")
        info.size = len(content)
        with tarfile.open(path, "w:gz") as tar:
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match="over 100 times its size"):
        unpack(path, into, lambda _done, _total: None)
    assert not list(into.rglob("*.bmp"))


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_are_as_open_as_the_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        home = open_home(tmp_path / "home")
        with Store.open(home) as store:
            run = store.runs.create(decode_spec(b"{}"))
            state = TrainingState(
                feature_rms=1.0, data_digest="", precision="fp32", memory_format="contiguous"
            )
            save_network(home.run_dir(run.run_id).best_checkpoint, state, torch.nn.Linear(2, 2))
            modes = {
                path.name: path.stat().st_mode & 0o777
                for path in home.path.rglob("*") if path.is_file()
            }  # fmt: skip
    finally:
        os.umask(before)
    assert {"spec.json", "user.json", "vld.db", "best.safetensors"} <= modes.keys()
    assert set(modes.values()) == {mode}, modes


@pytest.mark.parametrize(
    "text",
    [
        "Proxy http://me:hunter2@proxy:80 refused",
        "401 for Bearer hunter2",
        "token hf_hunter2hunter2",
    ],
)
def test_no_secret_is_recorded(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in without_secrets(text)
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        told = describe_failure(error, RunDir(tmp_path))
    assert "hunter2" not in told.message + told.traceback
