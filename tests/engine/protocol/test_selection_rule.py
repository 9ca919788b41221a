from __future__ import annotations

from typing import NamedTuple

import pytest

from engine.protocol import FIELDS, MEASURES, RunSpec
from engine.protocol.measures import ACCURACY, MetricKey
from engine.protocol.selection import (
    CRITERIA,
    best_of,
    criterion_of,
    is_better,
    score_of,
    selection_key,
)


class Found(NamedTuple):
    id_accuracy: float
    selection_score: float | None = None


def test_accuracy_selects_unless_there_is_another_score() -> None:
    assert score_of(Found(0.5)) == 0.5
    assert score_of(Found(0.5, 0.25)) == 0.25
    assert is_better(Found(0.9, 0.1), None)
    assert not is_better(Found(0.9, 0.1), Found(0.2, 0.1))
    assert is_better(Found(0.1, 0.2), Found(0.9, 0.1))


def test_of_equals_the_earliest_is_selected() -> None:
    evaluations = [Found(0.9, 0.1), Found(0.1, 0.3), Found(0.8, 0.3)]
    assert best_of(evaluations) is evaluations[1]
    assert best_of([]) is None


def test_every_choice_of_the_setting_names_a_measure() -> None:
    assert CRITERIA.keys() == set(FIELDS["select_on"].choices)
    assert {each.metric for each in CRITERIA.values()} <= {ACCURACY, *MEASURES}
    assert criterion_of(RunSpec()).words == "ID accuracy"
    assert criterion_of(RunSpec(select_on="balanced")).words == "ID balanced accuracy"


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (RunSpec(augment_validation=True), MetricKey.id("erm")),
        (RunSpec(select_on="balanced"), MetricKey.id("erm", "balanced_accuracy")),
        (
            RunSpec(select_on="balanced", augment_validation=True),
            MetricKey("balanced_accuracy", "out_augmented", "", "erm"),
        ),
    ],
)
def test_the_key_of_the_scores_is_of_the_images_that_select(spec: RunSpec, key: MetricKey) -> None:
    assert selection_key(spec, "erm") == key
