"""Predictions of images as a table, pictures and a summary."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console, RenderableType

from engine.protocol.inference import Prediction
from vld_tui.control.predict import ImagePrediction
from vld_tui.views.image_predictions import (
    PredictionCounts,
    picture_of,
    prediction_table,
    summary_line,
)

PREDICTIONS = [
    ImagePrediction.of(row, 0.5)
    for row in (
        Prediction("photos/\x1b[31ma.png", ("cat", "dog"), (0.9, 0.06), 0.84, 1.5, is_ood=True),
        Prediction("photos/b.png", ("dog", "cat"), (0.4, 0.3), 0.1, 0.25, is_ood=False),
        Prediction("photos/c.png", problem="is empty"),
    )
]


def _drawn(what: RenderableType, cells: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=cells, color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_table_names_what_is_unsure_unlike_and_unreadable() -> None:
    lines = _drawn(prediction_table(PREDICTIONS, 100, top=2, has_score=True))
    assert [" ".join(line.split()) for line in lines] == [
        "image class probability margin OOD score next",
        "photos/␛[31ma.png cat 90.0% 84.0% 1.500 ▲ dog 6.0%",
        "photos/b.png unsure (dog?) 40.0% 10.0% 0.250 cat 30.0%",
        "photos/c.png unreadable: is empty – – – –",
    ]
    narrow = _drawn(prediction_table(PREDICTIONS, 40), 40)
    assert all(len(line) <= 40 for line in narrow)
    assert "cat" in narrow[1]


def test_the_summary_counts_every_image() -> None:
    counts = PredictionCounts()
    counts.add(PREDICTIONS)
    counts.add(PREDICTIONS[:1])
    assert summary_line(counts) == (
        "4 images: 2 cat, 1 unsure, 1 unreadable; 2 unlike the training images (▲)"
    )
    for at in range(20):
        counts.add([ImagePrediction.of(Prediction(f"{at}.png", (f"class {at}",), (1.0,)), 0)])
    assert "9 in 9 other classes" in summary_line(counts)


def test_pictures_are_drawn_of_any_image(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "rgb.jpg")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(tmp_path / "grey16.png")
    (tmp_path / "text.png").write_text("no image")
    for name in ("rgb.jpg", "grey16.png"):
        lines = _drawn(picture_of(str(tmp_path / name), is_colourless=False))
        assert set("".join(lines)) == {"▀"}
        assert len(lines[0]) == 24
    for name in ("text.png", "gone.png"):
        [line] = _drawn(picture_of(str(tmp_path / name), is_colourless=False))
        assert line == "cannot be drawn"
