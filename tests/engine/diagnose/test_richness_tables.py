"""The curves that diagnostics of richness store: spectra, kept units and bins of confidence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.diagnose.computed import COMPUTED
from engine.diagnose.richness import MOST_DIRECTIONS
from engine.diagnose.run_features import RunFeatures, SplitFeatures
from engine.diagnose.unit_share import SHARES

CLASSES, UNITS = 3, 96


def features_of(domain: str, split: str, images: int, *, is_target: bool = False) -> SplitFeatures:
    generator = torch.Generator().manual_seed(images)
    labels = torch.arange(images) % CLASSES
    features = torch.randn(images, UNITS, generator=generator) + labels[:, None]
    logits = 2 * nn.functional.one_hot(labels, CLASSES) + torch.randn(
        images, CLASSES, generator=generator
    )
    return SplitFeatures(
        domain, split, is_target, torch.arange(images), labels, features, logits, features * 2
    )


@pytest.fixture(scope="module")
def run() -> RunFeatures:
    splits = (
        features_of("photo", "in", 200), features_of("photo", "out", 50),
        features_of("sketch", "in", 150, is_target=True),
        features_of("sketch", "out", 40, is_target=True),
    )  # fmt: skip
    weight = torch.randn(CLASSES, UNITS, generator=torch.Generator().manual_seed(0))
    return RunFeatures("r", ("a", "b", "c"), weight, None, splits)


def test_the_spectrum_is_stored_at_some_directions(run: RunFeatures) -> None:
    table = COMPUTED["rank"](run, {}).tables["spectrum"]
    assert table.columns == ("direction", "photo", "sketch")
    assert len(table.rows) <= MOST_DIRECTIONS
    assert table.rows[0] == (1, 1.0, 1.0)
    assert table.rows[-1][0] == UNITS
    directions, photo, sketch = zip(*table.rows, strict=True)
    known = [value for value in photo if value is not None]
    assert known == sorted(known, reverse=True)
    assert None not in sketch
    photo_images, sketch_images = run.equally_many()
    assert len(photo_images.rows) == len(sketch_images.rows) == 150
    values = torch.linalg.svdvals(photo_images.features.double())
    assert photo[9] == pytest.approx(float(values[int(directions[9] or 0) - 1] / values[0]))


def test_ranks_and_cka_are_of_equally_many_training_and_target_images(run: RunFeatures) -> None:
    for name in ("rank", "alignment"):
        found = COMPUTED[name](run, {})
        places = {(each.domain, each.split, each.images) for each in found.findings}
        assert places == {("photo", "in", 150), ("sketch", "in", 150)}
        assert None not in next(iter(found.values.values()))
        assert any("150 images of each domain" in note for note in found.notes)


def test_kept_units_are_stored_by_share(run: RunFeatures) -> None:
    settings = {"share": 0.1, "masks": 4, "seed": 0}
    table = COMPUTED["units"](run, settings).tables["shares"]
    assert table.columns == ("units kept", "units", "photo", "photo sd", "sketch", "sketch sd")
    assert [row[0] for row in table.rows] == [f"{100 * share:g}%" for share in SHARES]
    assert [row[1] for row in table.rows][:2] == [UNITS, UNITS // 2]


def test_bins_of_confidence_are_stored_with_their_bounds(run: RunFeatures) -> None:
    tables = COMPUTED["calibration"](run, {}).tables
    assert set(tables) == {"source", "target"}
    for name, images in (("source", 50), ("target", 150)):
        rows = tables[name].rows
        assert sum(int(row[2] or 0) for row in rows) == images
        for low, high, _, confidence, _ in rows:
            assert isinstance(low, float)
            assert isinstance(high, float)
            assert isinstance(confidence, float)
            assert low < confidence <= high + 1e-9
