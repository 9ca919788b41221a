"""Files of predictions hold whole rows, in every format."""

from __future__ import annotations

import csv
import errno
import json
import os
import resource
from pathlib import Path

import pyarrow.parquet
import pytest

from engine.protocol.inference import Prediction
from vld_tui.control.predict import ImagePrediction
from vld_tui.control.prediction_files import PredictionFileError, prediction_writer


def _predictions(count: int) -> list[ImagePrediction]:
    rows = [
        Prediction(
            path=f'folder/a, "{at}".png',
            classes=("cat", "dog"),
            probabilities=(0.75, 0.2),
            margin=0.55,
            ood_score=0.25,
            is_ood=at % 2 == 0,
        )
        for at in range(count)
    ]
    rows.append(Prediction("broken.png", problem="is empty"))
    rows.append(Prediction("unsure.png", ("dog",), (0.4,), 0.1))
    return [ImagePrediction.of(row, 0.5) for row in rows]


def test_every_format_has_the_same_rows(tmp_path: Path) -> None:
    predictions = _predictions(3)
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        writer = prediction_writer(tmp_path / f"out.{suffix}", top=2)
        writer.write(predictions[:2])
        writer.write(predictions[2:])
        writer.close()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert table == lines
    assert [line["class"] for line in lines] == ["cat", "cat", "cat", None, None]
    assert lines[0]["top"][1] == {"class": "dog", "probability": 0.2}
    assert (lines[3]["problem"], lines[4]["probability"]) == ("is empty", 0.4)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "out.tsv").open(newline="") as file:
        assert list(csv.DictReader(file, delimiter="\t")) == rows
    assert [row["path"] for row in rows] == [line["path"] for line in lines]
    assert rows[0] == {
        "path": 'folder/a, "0".png', "class": "cat", "probability": "0.750000",
        "margin": "0.550000", "ood_score": "0.250000", "is_ood": "true", "problem": "",
        "top1": "cat", "top1_probability": "0.750000",
        "top2": "dog", "top2_probability": "0.200000",
    }  # fmt: skip
    assert (rows[3]["class"], rows[3]["problem"], rows[4]["class"]) == ("", "is empty", "")


def test_files_that_exist_are_kept(tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        path = tmp_path / f"out.{suffix}"
        path.write_text("the user's own")
        with pytest.raises(PredictionFileError, match=r"exists\. Use another name\.$"):
            prediction_writer(path, top=1)
        writer = prediction_writer(path, top=1, replaces=True)
        assert path.read_text() == "the user's own", "until there are predictions"
        writer.write(_predictions(1))
        writer.close()
        assert b"the user's own" not in path.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.csv", "out.parquet"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.xlsx", r"no known format.*\.csv, \.tsv, \.jsonl, \.ndjson, \.parquet"),
        ("none/out.csv", "There is no folder"),
    ],
)
def test_what_cannot_be_written_is_told_first(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(PredictionFileError, match=message):
        prediction_writer(tmp_path / name, top=1)


def test_whole_rows_are_kept_when_no_more_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    writer = prediction_writer(path, top=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(PredictionFileError, match=r"Cannot write to .*out\.jsonl: ") as raised:
            writer.write(_predictions(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writer.close()
    assert raised.value.exit_code == 1
    lines = path.read_text()
    assert lines.endswith("\n")
    assert len([json.loads(line) for line in lines.splitlines()]) > 2


def _refuse_links(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)


def test_parquet_needs_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_links(monkeypatch, errno.EPERM)
    writer = prediction_writer(tmp_path / "out.parquet", top=1)
    writer.write(_predictions(1))
    writer.close()
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 3
    assert [each.name for each in tmp_path.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_parquet_file_that_cannot_get_its_name_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_taken: bool
) -> None:
    path = tmp_path / "out.parquet"
    writer = prediction_writer(path, top=1)
    writer.write(_predictions(1))
    if is_taken:
        path.write_text("the user's own")
    else:
        _refuse_links(monkeypatch, errno.EIO)
    with pytest.raises(PredictionFileError) as raised:
        writer.close()
    [kept] = tmp_path.glob(".out.parquet.*")
    assert f"The rows written so far are in {kept}." in str(raised.value)
    assert raised.value.exit_code == 1
    assert pyarrow.parquet.read_table(kept).num_rows == 3
    assert not is_taken or path.read_text() == "the user's own"


def test_an_unfinished_parquet_file_is_removed(tmp_path: Path) -> None:
    writer = prediction_writer(tmp_path / "out.parquet", top=1)
    writer.write(_predictions(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(PredictionFileError, match=r"Cannot write to .*out\.parquet: "):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
