"""The file of predictions: read back whole, refused in words otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol import (
    MOST_PREDICTION_BYTES,
    Confusion,
    DomainPredictions,
    ImagePredictions,
    KeptMistake,
    Predictions,
    PredictionsError,
    WrongImage,
    as_classes,
    decode_predictions,
    encode_predictions,
)
from engine.rundir import RunDir

IMAGES = ImagePredictions("digest", 4, b"\xb0", b"\0\0\0", b"\1\1\1")
KEPT = Predictions(
    step=8,
    classes=("a", "\u202e[b]\x1b"),
    domains=(
        DomainPredictions(
            "art",
            "in",
            True,
            None,
            (Confusion(0, 1, 3),),
            (KeptMistake(2, 0, 1, 0.75, 0, 0.25, "a/\x1b.png"),),
            IMAGES,
        ),
    ),
    wrong=(WrongImage(0, 1, 0.75, b"RIFF\x00\xff"),),
)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    assert run_dir.read_predictions() is None
    run_dir.write_predictions(KEPT)
    assert run_dir.read_predictions() == KEPT


def test_files_of_earlier_versions_are_read() -> None:
    kept = decode_predictions(
        b'{"step":8,"classes":["a","b"],"domains":[{"domain":"art","split":"in","is_target":true,'
        b'"loss":null,"confusions":[[0,1,3]]}],'
        b'"wrong":[{"label":0,"predicted":1,"confidence":0.75,"picture":"UklGRg=="}]}'
    )
    assert kept.domains[0].each_image is None
    assert kept.wrong[0].index is None


def test_two_bytes_hold_more_than_256_classes() -> None:
    assert [*as_classes(b"\x01\x01\x02\x00", 300)] == [257, 2]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_torn_file_is_refused(share: float) -> None:
    whole = encode_predictions(KEPT)
    with pytest.raises(PredictionsError):
        decode_predictions(whole[: int(share * len(whole))])


@pytest.mark.parametrize(
    "garbled",
    [
        encode_predictions(KEPT).replace(b"[0,1,3]", b"[0,2,3]"),
        encode_predictions(KEPT).replace(b"[0,1,3]", b"[-1,1,3]"),
        encode_predictions(KEPT).replace(b"[0,1,3]", b"[0,1,0]"),
        encode_predictions(KEPT).replace(b"0.75", b"7.5"),
        encode_predictions(KEPT).replace(b'"predicted":1', b'"predicted":2'),
        encode_predictions(KEPT).replace(b"[2,0,1,", b"[2,0,2,"),
        encode_predictions(KEPT).replace(b'"images":4', b'"images":40'),
        encode_predictions(KEPT).replace(b'"labels":"AAAA"', b'"labels":"AAAAAA=="'),
        encode_predictions(KEPT).replace(b'"labels":"AAAA"', b'"labels":"AgAA"'),
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
    ],
)
def test_a_garbled_file_is_refused(garbled: bytes) -> None:
    with pytest.raises(PredictionsError):
        decode_predictions(garbled)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(PredictionsError):
        decode_predictions(data)


def test_a_file_too_large_or_not_a_file_is_refused(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    with run_dir.predictions.open("wb") as file:
        file.truncate(MOST_PREDICTION_BYTES + 1)
    with pytest.raises(PredictionsError, match="larger than 64 MiB"):
        run_dir.read_predictions()
    run_dir.predictions.unlink()
    run_dir.predictions.mkdir()
    with pytest.raises(PredictionsError, match="not a regular file"):
        run_dir.read_predictions()
