"""The sentence about a shift follows from its measures."""

from __future__ import annotations

import pytest
import torch

from engine.diagnose.detection import RocArea
from engine.diagnose.probe import probe_shift
from engine.diagnose.sliced_wasserstein import domain_distances
from engine.diagnose.support import Support, split_by_support
from engine.diagnose.verdict import distance_sentence, verdict_on

AREA = RocArea(0.97, 0.96, 0.98)


def _support(
    out: int, inside: int, right_inside: int, right_outside: int = 0, *, is_known: bool = True
) -> Support:
    log_ratio = torch.cat([torch.full((out,), 9.0), torch.zeros(inside)])
    is_right = torch.cat(
        [torch.arange(out) < right_outside, torch.arange(inside) < right_inside]
    ).bool()
    return split_by_support(log_ratio, is_right if is_known else None)


def test_a_target_out_of_support_is_far() -> None:
    verdict = verdict_on(RocArea(0.99, 0.98, 1), _support(96, 4, 3), id_accuracy=0.9)
    assert verdict.kind == "far"
    assert verdict.text == (
        "The target is far from the sources (AUC 0.99, 96% of its images out of support). "
        "Accuracy: 75% within the support (4), 0% out of it (96), ID 90%. "
        "Most of it has to be classified by extrapolation, where pre-training and rich features "
        "help. There are too few images to compare accuracies."
    )
    assert "Accuracy: 0% out of support (9)" in verdict_on(AREA, _support(9, 0, 0)).text


def test_low_accuracy_within_the_support_is_bias() -> None:
    verdict = verdict_on(AREA, _support(5, 95, 60), id_accuracy=0.9)
    assert verdict.kind == "biased"
    assert "within the support of the sources" in verdict.text
    assert "more or cleaner data may help more than λ" in verdict.text


def test_low_accuracy_of_few_images_is_not_called_bias() -> None:
    verdict = verdict_on(AREA, _support(1, 10, 2), id_accuracy=0.9)
    assert verdict.kind == "inside"
    assert "too few images" in verdict.text
    within_chance = verdict_on(AREA, _support(0, 30, 25), id_accuracy=0.9)
    assert within_chance.kind == "inside"
    assert within_chance.text.endswith("is not clearly lower than on ID images.")


def test_a_target_that_is_partly_covered() -> None:
    verdict = verdict_on(AREA, _support(30, 70, 60), id_accuracy=0.9)
    assert verdict.kind == "partly"
    assert "partly out of the support" in verdict.text


def test_a_distance_that_costs_nothing_is_not_blamed() -> None:
    verdict = verdict_on(AREA, _support(60, 40, 24, right_outside=39), id_accuracy=0.9)
    assert verdict.kind == "far"
    assert verdict.text.endswith(
        "Accuracy out of support is no lower than within it, so distance does not explain the "
        "errors. Those within the support point to bias of the sources: more or cleaner data may "
        "help more than λ."
    )
    near_id = verdict_on(AREA, _support(30, 70, 60, right_outside=30), id_accuracy=0.88)
    assert near_id.text.endswith("so distance does not explain the errors.")
    lower = verdict_on(AREA, _support(30, 70, 60, right_outside=10), id_accuracy=0.88)
    assert "partly extrapolation" in lower.text
    far = verdict_on(AREA, _support(60, 40, 30, right_outside=10), id_accuracy=0.9)
    assert "Its errors are mostly extrapolation" in far.text
    few = verdict_on(AREA, _support(95, 5, 5, right_outside=94), id_accuracy=0.8)
    assert "errors" not in few.text
    assert "too few images to compare" in few.text


def test_without_predictions_there_is_no_word_on_accuracy() -> None:
    for out in (0, 30, 90):
        text = verdict_on(AREA, _support(out, 100 - out, 0, is_known=False)).text
        assert "ccuracy" not in text


def test_a_target_identical_to_a_source_is_like_it() -> None:
    source = torch.randn(90, 8, generator=torch.Generator().manual_seed(0))
    target = source.clone()
    probe = probe_shift(source, target)
    support = split_by_support(probe.target_log_ratio, torch.arange(90) % 10 > 0)
    verdict = verdict_on(probe.area, support, id_accuracy=0.9)
    assert probe.area.value == pytest.approx(0.5, abs=1e-3)
    assert verdict.kind == "like"
    assert verdict.text == (
        "The target is like the sources (AUC 0.50, 0% of its images out of support). "
        "Accuracy: 90% within the support (90), ID 90%. "
        "Accuracy within the support is not clearly lower than on ID images."
    )
    distances = domain_distances({"photo": source}, {"sketch": target})
    assert distance_sentence(distances, "sketch").startswith(
        "The source is photo, at a distance of 0.00, no farther than random samples of the sources"
    )


def test_the_nearest_source_is_named() -> None:
    features = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    found = domain_distances({"photo": features, "art": features + 3}, {"sketch": features + 5})
    sentence = distance_sentence(found, "sketch")
    assert sentence.startswith("The nearest source is art, at a distance of ")
    assert "farther than random samples" in sentence
    assert "no farther" not in sentence
    assert sentence.endswith(f" The sources are {found.of('photo', 'art').value:.2f} apart.")


def test_shares_are_rounded_to_0_and_100_only_if_exact() -> None:
    assert "<1% of its images" in verdict_on(AREA, _support(1, 900, 0, is_known=False)).text
    assert ">99% of its images" in verdict_on(AREA, _support(900, 1, 0, is_known=False)).text
    assert "(AUC 0.97, 0% of" in verdict_on(AREA, _support(0, 9, 0, is_known=False)).text
