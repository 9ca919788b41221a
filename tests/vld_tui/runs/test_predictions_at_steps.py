"""Predictions at other steps than the selected one, as they are shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.protocol import PredictionsError
from engine.rundir.step_predictions import StepPredictionsFile
from tests.made_predictions import keep_steps, predictions_with
from vld_tui.runs.mistakes import mistakes_by_domain
from vld_tui.runs.step_predictions import PredictionSteps

SELECTED = predictions_with({1, 9}, picture=b"RIFF")  # of step 100


@pytest.fixture
def known(tmp_path: Path) -> PredictionSteps:
    path = tmp_path / "predictions.bin"
    keep_steps(path, {0: {0, 1, 5, 9}, 50: {1}, 100: {1, 9}})
    return PredictionSteps(StepPredictionsFile.open(path), SELECTED)


def test_the_selected_step_is_the_one_with_more_about_each_mistake(known: PredictionSteps) -> None:
    assert known.steps == (0, 50, 100)
    assert known.read(100) is SELECTED


def test_another_step_has_its_confusions_and_mistakes(known: PredictionSteps) -> None:
    found, expected = known.read(0), predictions_with({0, 1, 5, 9})
    assert (found.step, found.classes) == (0, expected.classes)
    for ours, theirs in zip(found.domains, expected.domains, strict=True):
        assert ours.confusions == theirs.confusions
        assert ours.each_image == theirs.each_image
        assert [(m.index, m.label, m.predicted, m.name) for m in ours.mistakes] == [
            (m.index, m.label, m.predicted, m.name) for m in theirs.mistakes
        ]
    target = mistakes_by_domain(found)[0]
    assert [each.index for each in target.stored] == [0, 1, 5, 9]
    assert target.stored[0].confidence == pytest.approx(60_000 / 65_535)
    assert [bool(each.picture) for each in target.stored] == [False, True, False, True]


def test_runs_of_earlier_versions_have_the_selected_step() -> None:
    assert PredictionSteps(None, SELECTED).steps == (100,)
    assert PredictionSteps(StepPredictionsFile(Path("missing")), None).steps == ()


def test_damaged_predictions_of_a_step_are_refused(known: PredictionSteps) -> None:
    assert known.stored is not None
    path = known.stored.path
    data = bytearray(path.read_bytes())
    data[known.stored.blocks[50].start + 12] ^= 1
    path.write_bytes(data)
    assert known.read(0).step == 0
    with pytest.raises(PredictionsError):
        known.read(50)
    with pytest.raises(PredictionsError):
        replace(known, stored=replace(known.stored, images=None)).read(0)
