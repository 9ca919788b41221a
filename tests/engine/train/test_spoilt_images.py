"""Images that are spoilt while a run goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from torch import Tensor

from engine.data import TrainingBatches
from engine.errors import TrainingError
from engine.protocol import RunFinished, RunStarted
from engine.rundir import RunDir
from tests.small_runs import MakeRun, read_events, run_here

SPOILT_AT = 11


@pytest.fixture
def images(make_run: MakeRun, tmp_path: Path) -> Path:
    """Return a folder of images that a test may spoil."""
    folder = tmp_path / "images"
    shutil.copytree(make_run("whole").read_spec().data_dir or "", folder)
    return folder


@pytest.fixture
def spoilt(images: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cut every image short when step 11 is about to be drawn; return where the whole ones are."""
    kept = images.with_name("kept")
    shutil.copytree(images, kept)
    draw, drawn = TrainingBatches.draw, [0]

    def spoiling(batches: TrainingBatches) -> tuple[Tensor, Tensor]:
        drawn[0] += 1
        if drawn[0] == SPOILT_AT:
            for path in images.rglob("*.webp"):
                path.write_bytes(path.read_bytes()[:-50])
        return draw(batches)

    monkeypatch.setattr(TrainingBatches, "draw", spoiling)
    return kept


def run_on(make_run: MakeRun, images: Path, **fields: object) -> RunDir:
    return make_run("run", data_dir=str(images), dataset="mine", **fields)


def test_a_file_cut_short_is_named_and_the_run_goes_on_when_it_is_mended(
    make_run: MakeRun, images: Path, spoilt: Path
) -> None:
    run_dir = run_on(make_run, images, transforms="pil")
    with pytest.raises(TrainingError, match=r"The image [\w-]+/\w+/\S+\.webp of .*then resume"):
        run_here(run_dir)
    shutil.rmtree(images)
    spoilt.rename(images)
    run_here(run_dir)
    started = [event for event in read_events(run_dir) if isinstance(event, RunStarted)]
    assert [event.resumed_step for event in started] == [None, 8]
    assert isinstance(read_events(run_dir)[-1], RunFinished)


def test_a_run_on_the_cache_needs_the_files_no_more(
    make_run: MakeRun, images: Path, spoilt: Path
) -> None:
    run_dir = run_on(make_run, images)
    run_here(run_dir)
    assert spoilt.is_dir()
    assert isinstance(read_events(run_dir)[-1], RunFinished)


def test_a_damaged_cache_is_made_again_when_the_run_is_taken_up(
    make_run: MakeRun, images: Path
) -> None:
    run_dir = run_on(make_run, images, steps=8)
    run_here(run_dir)
    (pixels,) = run_dir.cache.glob("images/*/pixels.bin")
    whole = pixels.read_bytes()
    pixels.write_bytes(b"\0" * 1000 + whole[1000:])
    again = make_run("again", data_dir=str(images), dataset="mine", steps=8)
    run_here(again)
    assert pixels.read_bytes() == whole
