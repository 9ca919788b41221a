"""The file of the predictions of every evaluation: appended, bounded, read or refused."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol import PredictionsError
from engine.protocol.step_predictions import (
    EvaluatedImages,
    EvaluatedSplit,
    SplitPredictions,
    StepPredictions,
    as_confidences,
    decode_images,
    decode_step,
    encode_images,
    encode_step,
)
from engine.rundir import RunDir
from engine.rundir.step_predictions import (
    StepPredictionsFile,
    StepPredictionsWriter,
    evenly_spaced,
)

SPLIT = EvaluatedSplit(
    "art", "in", True, "digest", 4, b"\xb0", b"\0\0\1", ("a.png", "\x1b.png", "d.png")
)
IMAGES = EvaluatedImages(("a", "b"), (SPLIT,))


def at_step(step: int) -> StepPredictions:
    predicted = bytes((step >> bit) & 1 for bit in range(3))
    return StepPredictions(step, (SplitPredictions(0.5, predicted, b"\0\0\xff\xff\0\x80"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return RunDir(tmp_path).step_predictions


def steps_in(path: Path) -> list[int]:
    stored = StepPredictionsFile.open(path)
    images = stored.read_images()
    assert images == IMAGES
    for step in stored.blocks:
        assert stored.read(step, images) == at_step(step)
    return [*stored.blocks]


def test_what_was_added_is_read_back(path: Path) -> None:
    assert StepPredictionsFile.open(path).blocks == {}
    writer = StepPredictionsWriter(path, IMAGES)
    for step in (0, 8, 16):
        writer.add(at_step(step))
    assert steps_in(path) == [0, 8, 16]
    assert as_confidences(b"\0\0\xff\xff") == [0.0, 1.0]


@pytest.mark.parametrize("torn_bytes", [1, 20, 40])
def test_a_torn_end_is_ignored_and_overwritten(path: Path, torn_bytes: int) -> None:
    writer = StepPredictionsWriter(path, IMAGES)
    writer.add(at_step(0))
    writer.add(at_step(8))
    whole = path.read_bytes()
    path.write_bytes(whole[:-torn_bytes])
    assert steps_in(path) == [0]
    StepPredictionsWriter(path, IMAGES).add(at_step(8))
    assert path.read_bytes() == whole


def test_an_end_that_is_cut_off_while_it_is_read_is_ignored(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StepPredictionsWriter(path, IMAGES).add(at_step(0))
    status = os.fstat

    def status_before(file: int) -> SimpleNamespace:
        now = status(file)
        return SimpleNamespace(st_mode=now.st_mode, st_size=now.st_size + 40)

    monkeypatch.setattr(os, "fstat", status_before)
    assert steps_in(path) == [0]


def test_the_last_predictions_of_a_repeated_step_count(path: Path) -> None:
    StepPredictionsWriter(path, IMAGES).add(
        StepPredictions(8, (SplitPredictions(None, b"\1\1\1", bytes(6)),))
    )
    StepPredictionsWriter(path, IMAGES).add(at_step(8))
    assert steps_in(path) == [8]


def test_other_images_start_the_file_again(path: Path) -> None:
    StepPredictionsWriter(path, EvaluatedImages(("a", "c"), (SPLIT,))).add(at_step(0))
    StepPredictionsWriter(path, IMAGES).add(at_step(8))
    assert steps_in(path) == [8]


def test_a_damaged_file_is_started_again(path: Path) -> None:
    path.write_bytes(b"garbage" * 20)
    StepPredictionsWriter(path, IMAGES).add(at_step(8))
    assert steps_in(path) == [8]


def test_the_file_stays_below_its_limit(path: Path) -> None:
    limit = 1_000
    writer = StepPredictionsWriter(path, IMAGES, limit)
    for step in range(0, 2_000, 8):
        writer.add(at_step(step))
        assert path.stat().st_size <= limit
    steps = steps_in(path)
    assert steps[0] == 0
    assert steps[-1] == 1_992
    assert len(steps) >= 5
    early = [step for step in steps if step < 1_000]
    assert len(early) >= 3


def test_nothing_is_kept_if_too_few_fit(path: Path) -> None:
    writer = StepPredictionsWriter(path, IMAGES, len(encode_images(IMAGES)) + 100)
    writer.add(at_step(0))
    assert steps_in(path) == []


@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=60), st.integers(2, 20))
def test_steps_are_spread(steps: set[int], most: int) -> None:
    ordered = sorted(steps)
    kept = evenly_spaced(ordered, most)
    assert set(kept) <= steps
    assert len(kept) <= most or len(kept) == len(steps) <= most
    assert (kept[0], kept[-1]) == (ordered[0], ordered[-1])


@pytest.mark.parametrize("at", [30, -20, -1])
def test_a_garbled_byte_is_refused(path: Path, at: int) -> None:
    StepPredictionsWriter(path, IMAGES).add(at_step(0))
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    stored = StepPredictionsFile.open(path)
    with pytest.raises(PredictionsError):
        stored.read(0, stored.read_images())


@pytest.mark.parametrize(
    "splits",
    [
        (),
        (SplitPredictions(None, b"\0\0", bytes(6)),),
        (SplitPredictions(None, b"\0\0\2", bytes(6)),),
        (SplitPredictions(None, b"\0\0\0", bytes(5)),),
    ],
)
def test_predictions_on_other_images_are_refused(splits: tuple[SplitPredictions, ...]) -> None:
    with pytest.raises(PredictionsError):
        decode_step(encode_step(StepPredictions(0, splits)), IMAGES)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(PredictionsError):
        decode_images(data)
    with pytest.raises(PredictionsError):
        decode_step(data, IMAGES)
