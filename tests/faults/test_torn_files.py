"""Files that were cut or garbled at any place: told in words, never believed, never a traceback."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec
import pytest
import torch

from engine.datasets.cache import cached_images
from engine.datasets.folders import open_image_set
from engine.errors import DamagedFileError, InputError, TrainingError
from engine.model.tensor_file import DIGEST_KEY, read_tensors, write_tensors
from engine.model.weights import read_weights
from engine.protocol import PROTOCOL_VERSION, PredictionsError, RunSpec, SpecError, encode_event
from engine.rundir import RunDir, UserData
from engine.rundir.event_log import EventLog
from engine.train.checkpoint import TrainingState, load_last, save_last, save_network
from tests.small_runs import MakeRun, run_here
from tests.vld_tui.store.told_runs import (
    Teller,
    dead_process,
    finished,
    numbered,
    started,
    steps_taken,
)
from vld_tui.home import Home, open_home
from vld_tui.runs.run_folder import FolderReader
from vld_tui.store.store import Store

STATE = TrainingState(
    step=7, feature_rms=1.0, data_digest="d", precision="fp32", memory_format="contiguous"
)


def make_run(home: Home) -> RunDir:
    with Store.open(home) as store:
        return store.runs.run_dir(store.runs.create(RunSpec(), name="told").run_id)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


def test_a_log_cut_at_each_byte_of_its_last_lines_is_read_and_resumed(home: Home) -> None:
    run_dir = make_run(home)
    teller = Teller(run_dir)
    dead_process(run_dir, exit_code=0)
    teller.says(started(), *(steps_taken(step, 1.0) for step in range(5, 21, 5)))
    whole = run_dir.events.read_bytes()
    third_last = sum(map(len, whole.splitlines(keepends=True)[:-3]))
    for cut in range(third_last, len(whole) + 1, 7):
        run_dir.events.write_bytes(whole[:cut])
        teller.says(started(attempt=2, resumed_step=5))
        with Store.open(home) as store:
            store.folders.rebuild()
            seen = store.runs.get("told")
        told = [msgspec.json.decode(line) for line in run_dir.events.read_bytes().splitlines()]
        assert [event["seq"] for event in told] == list(range(len(told)))
        assert (seen.attempts, seen.damaged_lines, seen.step) == (2, 0, 5)


@pytest.mark.parametrize(
    ("damage", "damaged_lines"),
    [
        (b"\0" * 4096, 1),
        (b"\xff" * 300 + b"\n", 1),
        (b"x" * 5_000_000 + b"\n", 1),
        (numbered(steps_taken(99, 9.0), 2), 1),
        (numbered(steps_taken(99, 9.0), 2**60), 1),
    ],
    ids=["nuls", "garbled", "huge", "told twice", "number out of range"],
)
def test_damage_amid_a_log_is_counted_and_the_rest_is_read(
    home: Home, damage: bytes, damaged_lines: int
) -> None:
    run_dir = make_run(home)
    teller = Teller(run_dir)
    dead_process(run_dir, exit_code=0)
    teller.says(started(), steps_taken(5, 1.0), steps_taken(10, 0.5))
    teller.writes(damage if damage.endswith(b"\n") else damage + b"\n")
    teller.says(
        steps_taken(20, 0.25), finished(20, selected_step=10, id_accuracy=0.5, ood_accuracy=0.25)
    )
    with Store.open(home) as store:
        store.live.refresh()
        seen = store.runs.get("told")
        losses = [
            (point.step, point.value) for point in store.series.metrics(seen.run_id, name="loss")
        ]
    assert losses == [(5, 1.0), (10, 0.5), (20, 0.25)]
    assert (seen.status, seen.damaged_lines) == ("finished", damaged_lines)


def small_checkpoint(path: Path) -> bytes:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    save_last(path, STATE, module, optimizer, {"masks": torch.Generator()})
    return path.read_bytes()


def test_a_checkpoint_garbled_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c" / "last.safetensors"
    whole = small_checkpoint(path)
    (header_bytes,) = struct.unpack("<Q", whole[:8])
    intact = load_last(path)
    assert intact is not None
    refusals = set()
    places = [*range(8 + header_bytes), *range(8 + header_bytes, len(whole), 53), len(whole) - 1]
    for place in places:
        for flipped in (0x01, 0x80):
            garbled = bytes([whole[place] ^ flipped])
            path.write_bytes(whole[:place] + garbled + whole[place + 1 :])
            try:
                loaded = load_last(path)
            except TrainingError as error:
                refusals.add(str(error).partition("(")[0])
                continue
            assert loaded is not None
            assert loaded.state == intact.state, place
            assert loaded.tensors.keys() == intact.tensors.keys()
            for name, tensor in loaded.tensors.items():
                assert torch.equal(tensor, intact.tensors[name]), (place, name)
    assert refusals == {f"The checkpoint {path} is damaged "}


def test_a_checkpoint_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c" / "last.safetensors"
    whole = small_checkpoint(path)
    for cut in [*range(40), *range(40, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:cut])
        with pytest.raises(TrainingError, match="damaged"):
            load_last(path)


def test_garbled_weights_are_not_read_and_those_of_before_are(tmp_path: Path) -> None:
    path = tmp_path / "c" / "best.safetensors"
    save_network(path, STATE, torch.nn.Linear(3, 2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
    with pytest.raises(InputError, match="could not be read: checksum mismatch"):
        read_weights(path)
    with pytest.raises(DamagedFileError, match="checksum mismatch"):
        read_tensors(path)
    (header_bytes,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + header_bytes])
    del header["__metadata__"][DIGEST_KEY]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + header_bytes :])
    assert read_tensors(path)["weight"].shape == (2, 3)


def test_kinds_of_tensors_come_back(tmp_path: Path) -> None:
    tensors = {
        "bf16": torch.ones(3, dtype=torch.bfloat16), "scalar": torch.tensor(4),
        "none": torch.zeros(0, 2), "flags": torch.tensor([True, False]),
        "strided": torch.arange(6.0).reshape(2, 3).T,
    }  # fmt: skip
    write_tensors(tmp_path / "a.safetensors", tensors, b"{}")
    found = read_tensors(tmp_path / "a.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("content", [b"", b'{"seed"', b"\0" * 300, b"[]", b"\xff\xfe{}"])
def test_torn_files_beside_the_log_are_no_surprise(home: Home, content: bytes) -> None:
    run_dir = make_run(home)
    Teller(run_dir).finishes()
    for path in (run_dir.user, run_dir.process, run_dir.exit, run_dir.predictions):
        path.write_bytes(content)
    assert run_dir.read_process() is None
    assert run_dir.read_exit() is None
    assert run_dir.read_user() == UserData()
    with pytest.raises(PredictionsError):
        run_dir.read_predictions()
    assert FolderReader(run_dir).read().predictions_problem
    with Store.open(home) as store:
        assert store.folders.rebuild().runs == 1
        assert store.runs.find()[0].status == "finished"
        run_dir.combination.write_bytes(content)
        (damaged,) = store.folders.rebuild().damaged
        assert "combination.json" in damaged.reason
        run_dir.combination.unlink()
        run_dir.spec.write_bytes(content)
        assert store.folders.rebuild().damaged == ()  # written again from the database
        run_dir.spec.write_bytes(content)
    home.database.unlink()
    with Store.open(home) as store:
        (damaged,) = store.folders.rebuild().damaged
        assert "spec.json" in damaged.reason


def test_what_a_newer_version_wrote_is_refused_as_such(make_run: MakeRun) -> None:
    run_dir = make_run()
    newer = msgspec.structs.replace(started(), protocol_version=PROTOCOL_VERSION + 1, seq=0)
    run_dir.events.write_bytes(encode_event(newer))
    with pytest.raises(InputError, match="started by a newer version .* Upgrade vld-tui"):
        run_here(run_dir)
    run_dir.spec.write_bytes(b'{"temperature": 1}')
    with pytest.raises(SpecError, match="unknown field 'temperature'.* upgrade vld-tui"):
        run_dir.read_spec()


def test_a_cache_garbled_anywhere_is_built_again(small_emoji: Path, tmp_path: Path) -> None:
    image_set = open_image_set("mine", small_emoji)
    expected = cached_images(image_set, 8, tmp_path / "cache").pixels.copy()
    (file,) = (tmp_path / "cache" / "images").glob("*/pixels.bin")
    whole = file.read_bytes()
    for place in [*range(0, len(whole), 4999), len(whole) - 1]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        again = cached_images(image_set, 8, tmp_path / "cache").pixels
        assert (again == expected).all()


def test_room_that_was_kept_is_given_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.reserve_space()
    assert len(list(tmp_path.iterdir())) == 2
    log.record_last(started())
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]
