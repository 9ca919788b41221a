"""All that the screen of a run can show, made of values."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image

from engine.protocol import (
    Confusion,
    DataPrepared,
    DomainInfo,
    DomainPredictions,
    Evaluated,
    Metric,
    Predictions,
    WrongImage,
)
from engine.rundir import StoredEvaluations
from tests.made_evaluations import make_evaluation
from tests.vld_tui.dashboard.fake_history import NOW, bare_detail
from vld_tui.dashboard.feed import RunCurves, RunDetail
from vld_tui.runs.metrics import Attempt, CheckpointInfo
from vld_tui.runs.progress import Progress
from vld_tui.runs.run_folder import FolderContents, RunFile

CLASSES = ("animal", "face", "food")
SPLITS = (("art", "out"), ("noto", "out"), ("fluent-mono", "in"), ("fluent-mono", "out"))
TARGET = "fluent-mono"


def picture(colour: tuple[int, int, int] = (200, 40, 40)) -> bytes:
    """Return a small image as the engine makes them."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(file, format="WEBP")
    return file.getvalue()


def confusions_of(rows: Sequence[Sequence[int]]) -> tuple[Confusion, ...]:
    """Return what is kept of a confusion matrix."""
    places = itertools.product(range(len(rows)), repeat=2)
    return tuple(Confusion(i, j, rows[i][j]) for i, j in places if rows[i][j])


def make_predictions(
    classes: Sequence[str] = CLASSES, *, step: int = 150, wrong: int = 30
) -> Predictions:
    """Return predictions where the last class fails most on the target: it is taken for the
    first one."""
    count = len(classes)
    good = [[8 if i == j else 0 for j in range(count)] for i in range(count)]
    bad = [list(row) for row in good]
    bad[-1][-1], bad[-1][0] = 2, 6
    bad[0][0], bad[0][1] = 6, 2
    domains = tuple(
        DomainPredictions(
            name, split, name == TARGET, 0.5, confusions_of(bad if name == TARGET else good)
        )
        for name, split in SPLITS
    )
    mistakes = tuple(
        WrongImage(count - 1, 0, 0.99 - at / 100, picture((8 * at, 90, 200))) for at in range(wrong)
    )
    return Predictions(step, tuple(classes), domains, mistakes)


def make_progress(step: int = 150) -> Progress:
    """Return a run evaluated once."""
    metrics = [
        Metric(split, name, "dropout", metric, value)
        for name, split in SPLITS
        for metric, value in (
            ("accuracy", 0.5 if name == TARGET else 0.75), ("loss", None if split == "in" else 0.6),
        )
    ]  # fmt: skip
    names = dict.fromkeys(name for name, _ in SPLITS)
    domains = [DomainInfo(name, name == TARGET, 100, 80, 20) for name in names]
    prepared = DataPrepared(
        dataset="emoji", target=TARGET, classes=list(CLASSES), domains=domains, skipped=[],
        wall_s=1.0,
    )  # fmt: skip
    evaluated = Evaluated(
        step=step, metrics=metrics, id_accuracy=0.75, ood_accuracy=0.5, is_best=True, wall_s=1.0,
        time=NOW - 100,
    )  # fmt: skip
    return Progress(data=prepared, evaluations=(evaluated,))


def make_attempts() -> tuple[Attempt, ...]:
    """Return a run that was stopped, resumed and then crashed."""
    stopped = Attempt(1, NOW - 1000, None, 41, "here", {}, None, NOW - 700, "stopped", 80, "SIGINT")
    crashed = Attempt(
        2, NOW - 500, 80, 42, "[b]there\x1b", {}, None, NOW - 90, "crashed", 160, "out of memory"
    )
    return stopped, crashed


FULL = FolderContents(
    log=tuple(f"line {at} of the log" for at in range(200)),
    files=(
        RunFile("checkpoints/best.safetensors", 3 * 2**20),
        RunFile("engine.log", 12),
        RunFile("[red]own\x1b", 5),
    ),
    predictions=make_predictions(),
    evaluations=StoredEvaluations(
        (make_evaluation({"photo": 0.8, "sketch [b]": 0.5}),), {"torn": "truncated"}
    ),
)


def full_detail(contents: FolderContents = FULL) -> Callable[[RunCurves], RunDetail]:
    """Return how to make all that is known of a run, the same object as long as its run is."""
    made: dict[str, RunDetail] = {}

    def detail(curves: RunCurves) -> RunDetail:
        return made.setdefault(
            curves.run.run_id,
            replace(
                bare_detail(curves),
                progress=make_progress(),
                attempts=make_attempts(),
                checkpoints=(
                    CheckpointInfo("best", 150, "checkpoints/best.safetensors", 3 * 2**20),
                    CheckpointInfo("last", 160, "checkpoints/last.safetensors", 9 * 2**20),
                ),
                contents=contents,
                reported=curves.reported,
            ),
        )

    return detail
