"""``vld predict`` classifies images from anywhere with the network of a real small run."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.vld_tui.cli.conftest import Vld
from tests.waiting import wait_until

VLD = [sys.executable, "-m", "vld_tui.cli"]


@pytest.fixture
def photos(small_emoji: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of 12 images in the current folder, 4 of each class."""
    folder = tmp_path / "work" / "photos"
    folder.mkdir(parents=True)
    for path in sorted((small_emoji / "noto").rglob("*.webp")):
        if len(list(folder.glob(f"{path.parent.name}-*"))) < 4:
            shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    monkeypatch.chdir(folder.parent)
    return folder


def test_a_pipe_gets_csv_and_stderr_a_summary(trained: Vld, photos: Path) -> None:
    result = trained("predict", "trained", "photos")
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["path"] for row in rows] == sorted(
        f"photos/{each.name}" for each in photos.iterdir()
    )
    assert result.stderr.startswith("12 images: ")
    assert {row["class"] for row in rows} <= {"animal", "face", "food"}


def test_json_is_one_document(trained: Vld, photos: Path) -> None:
    made = trained.json("predict", "@last", "photos", "--ood", "energy", "--top", "2")
    assert made["arm"] == "dropout"
    assert made["classes"] == ["animal", "face", "food"]
    assert (made["images"], made["unreadable"], len(made["predictions"])) == (12, 0, 12)
    assert made["temperature"] == made["calibration"]["temperature"] != 1
    assert made["ood_threshold"] == made["calibration"]["thresholds"]["energy"]
    assert sum(made["counts"].values()) == 12
    for each in made["predictions"]:
        assert each["class"] == each["top"][0]["class"]
        assert each["is_ood"] == (each["ood_score"] > made["ood_threshold"])
    plain = trained.json("predict", "@last", "photos", "--no-calibration")
    assert plain["temperature"] == 1
    assert [each["class"] for each in plain["predictions"]] == [
        each["class"] for each in made["predictions"]
    ]


def test_the_first_calibration_is_kept_with_the_run(trained: Vld, photos: Path) -> None:
    [folder] = (trained.home / "runs").iterdir()
    trained("predict", "trained", "photos")
    [(key, stored)] = json.loads((folder / "calibration.json").read_text()).items()
    assert key == "dropout/best"
    assert sum(stored["images"].values()) > 0
    assert "calibration.json" in trained("show", "trained").stdout


def test_doubtful_classes_are_left_out(trained: Vld, photos: Path) -> None:
    made = trained.json("predict", "trained", "photos", "--min-probability", "1")
    assert (made["unsure"], made["counts"]) == (12, {})
    assert {each["class"] for each in made["predictions"]} == {None}
    sorted_ = trained.json("predict", "trained", "photos", "--sort", "doubt")["predictions"]
    shares = [each["probability"] for each in sorted_]
    assert shares == sorted(shares)
    result = trained("predict", "trained", "photos", "--csv", "--sort", "doubt")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["path"] for row in rows] == [each["path"] for each in sorted_]


def test_unreadable_images_are_listed_and_the_others_predicted(trained: Vld, photos: Path) -> None:
    (photos / "broken.jpg").write_text("no image")
    result = trained("predict", "trained", "photos", "photos/gone.png")
    assert result.exit_code == 2, "a path that was typed and is missing"
    result = trained("predict", "trained", "photos", "--jsonl")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == 13
    [broken] = [each for each in lines if each["problem"]]
    assert broken["class"] is None
    assert "photos/broken.jpg cannot be read: is not an image" in result.stderr
    assert "1 unreadable" in result.stderr


def test_paths_come_from_stdin_globs_and_tables(trained: Vld, photos: Path) -> None:
    names = sorted(each.name for each in photos.iterdir())
    listed = "".join(f"photos/{name}\n" for name in names[:3]) + "photos/gone.png\n"
    made = trained("predict", "trained", "-", "--jsonl", typed=listed)
    assert made.exit_code == 1
    lines = [json.loads(line) for line in made.stdout.splitlines()]
    assert [each["path"] for each in lines] == listed.split()
    assert lines[3]["problem"] == "No such file or directory"
    ended = "\0".join(f"photos/{name}" for name in names[:2]) + "\0"
    made = trained("predict", "trained", "-", "--jsonl", typed=ended)
    assert len(made.stdout.splitlines()) == 2
    (photos / "list.csv").write_text("file\n" + "\n".join(names[:2]))
    table = ("photos/list.csv", "--path-column", "file")
    assert len(trained.json("predict", "trained", *table)["predictions"]) == 2
    assert len(trained.json("predict", "trained", "photos/face-*")["predictions"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody", "photos"], "No run 'nobody'"),
        (["trained", "photos/x.png"], "No file or folder photos/x.png"),
        (["trained", "empty"], "No images found in empty"),
        (["trained", "-"], "No images found on standard input"),
        (["trained", "photos", "--arm", "averaged"], "has no arm averaged; it has dropout"),
        (["trained", "photos", "--at", "first"], "--at is 'first', but must be best or last"),
        (["trained", "photos", "--at", "last", "--device", "cuda:9"], "cuda:9"),
        (["trained", "photos", "--ood", "x"], "--ood is 'x', but must be msp or energy"),
        (["trained", "photos", "--min-probability", "2"], "must be a number from 0 to 1"),
        (["trained", "photos", "--top", "0"], "--top is 0, but must be at least 1"),
        (["trained", "photos", "--batch", "0"], "--batch is 0"),
        (["trained", "photos", "--json", "--csv"], "Pass only one of"),
        (["trained", "photos", "--link"], "--link needs --into"),
        (["trained", "photos", "--into", f"{__file__}/x"], f"{__file__} is not a folder"),
        (["trained", ""], "No file or folder ''"),
        (["trained", "photos", "--pictures"], "--pictures needs a terminal"),
        (["trained", "photos", "-o", "out.xls"], "no known format"),
        (["trained", "photos", "-o", "photos"], "no known format"),
        (
            ["trained", "photos", "-o", "old.csv"],
            "exists. Use another name, or replace it with --f",
        ),
        (
            ["trained", "photos", "-o", "dir.csv", "--force"],
            "dir.csv is a folder. Use another name.",
        ),
    ],
)
def test_wrong_usage_is_told(
    trained: Vld, photos: Path, arguments: list[str], message: str
) -> None:
    Path("empty").mkdir()
    Path("dir.csv").mkdir()
    Path("old.csv").touch()
    result = trained("predict", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stdout == ""


def test_a_run_without_checkpoints_is_refused(trained: Vld, photos: Path) -> None:
    trained("prune", "trained", "--keep", "none", "--yes")
    result = trained("predict", "trained", "photos")
    assert result.exit_code == 2
    assert "has no checkpoints: they were deleted to free disk space" in result.stderr
    trained("rm", "trained")
    assert "is in the trash" in trained("predict", "trained", "photos").stderr


def test_images_are_sorted_into_class_folders(trained: Vld, photos: Path) -> None:
    into = photos / "sorted"
    for made, there in ((12, 0), (0, 12)):
        record = trained.json("predict", "trained", "photos", "--into", str(into))
        assert record["images"] == 12, "its own copies are not searched"
        assert record["into"] == {"folder": str(into), "made": made, "present": there}
    copies = {each.name: each.parent.name for each in into.rglob("*.webp")}
    expected = {Path(each["path"]).name: each["class"] for each in record["predictions"]}
    assert copies == expected
    outputs = ("--into", "links", "--link", "-o", "a.parquet")
    result = trained("predict", "trained", "photos/*.webp", *outputs)
    assert "12 linked into links" in result.stderr
    assert result.stdout == ""
    assert all(each.is_symlink() for each in Path("links").rglob("*.webp"))
    assert pyarrow.parquet.read_table("a.parquet").num_rows == 12


def test_a_reader_that_closes_early_gives_no_traceback(trained: Vld, photos: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(
        [*VLD, "predict", "trained", "photos"],
        stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.PIPE, text=True,
        env=trained.environment(),
    ) as process:  # fmt: skip
        os.close(write)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 141
    assert said == ""


def test_ctrl_c_keeps_whole_rows(trained: Vld, photos: Path) -> None:
    many = "photos/" + "\nphotos/".join(sorted(each.name for each in photos.iterdir()) * 2000)
    Path("many.csv").write_text(f"path\n{many}\n")
    with subprocess.Popen(
        [*VLD, "predict", "trained", "many.csv", "-o", "out.csv", "--batch", "8"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=trained.environment(),
    ) as process:  # fmt: skip
        wait_until(lambda: Path("out.csv").exists() and Path("out.csv").stat().st_size > 1000)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the results so far are kept" in said
    with Path("out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert 0 < len(rows) < 24_000
    assert all(row["probability"] for row in rows)


def _on_terminal(vld: Vld, *arguments: str) -> tuple[list[str], str]:
    """Return the lines that a command shows on a terminal, and what it writes to stderr."""
    leader, follower = pty.openpty()
    content = b""
    with subprocess.Popen(
        [*VLD, "predict", *arguments],
        stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE, text=True,
        env=vld.environment(COLUMNS="100", TERM="xterm"),
    ) as process:  # fmt: skip
        os.close(follower)
        with contextlib.suppress(OSError):  # as it ends
            while read := os.read(leader, 2**12):
                content += read
        _, said = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 0, said
    return re.sub(r"\x1b\[[0-9;]*m", "", content.decode()).splitlines(), said


@pytest.mark.usefixtures("cold_starts")
def test_a_terminal_gets_pictures_and_their_classes(trained: Vld, photos: Path) -> None:
    lines, said = _on_terminal(trained, "trained", "photos", "--pictures", "--limit", "2")
    drawn = [line for line in lines if set(line) == {"▀"}]
    assert {len(line) for line in drawn} == {24}
    captions = [line for line in lines if "photos/animal-" in line]
    assert len(captions) == 2
    assert all(re.match(r"(animal|face|food) \d+\.\d%  photos/", line) for line in captions)
    assert lines[-1] == "… and 10 more images; list all with --limit 0 or -o FILE."
    assert said.startswith("12 images: ")
