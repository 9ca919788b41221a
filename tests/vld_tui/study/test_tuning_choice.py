"""The choice by left-out domains, from results that nobody ran, with numbers worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.vld_tui.study.made_outcomes import result
from vld_tui.study.results.outcomes import Outcome, SelectionValues
from vld_tui.study.results.tuning import tuned_setting
from vld_tui.views.tuning import RULE, choice_sentences, tuned_lines

DOMAINS = ("art", "photo")
Scores = Mapping[float, Sequence[float]]
"""The score of each seed on every left-out domain, by dropout rate."""


def results(
    scores: Scores, ids: Mapping[float, float] | None = None, spread: float = 0.0
) -> list[Outcome]:
    """Return a result for each domain and seed; photo is easier by ``spread``."""
    return [
        result(
            domain, rate=rate, seed=seed, id_accuracy=(ids or {}).get(rate, 0.8),
            ood_accuracy=score + spread * (domain == "photo"),
        )
        for rate, of_seed in scores.items()
        for seed, score in enumerate(of_seed)
        for domain in DOMAINS
    ]  # fmt: skip


BETTER = [0.60, 0.62, 0.61]
CLOSE = [0.55, 0.66, 0.60]
"""Differs from BETTER by -0.05, +0.04 and -0.01: -0.0067 ± 0.112."""
WORSE = [0.50, 0.51, 0.50]
"""Differs from BETTER by -0.10, -0.11 and -0.11: -0.1067 ± 0.0143."""


def test_a_setting_that_is_better_than_all_others_is_chosen() -> None:
    tuned = tuned_setting(results({0.0: BETTER, 0.5: WORSE, 0.9: WORSE}, spread=0.2))
    assert (tuned.values, tuned.reason) == ({"dropout_rate": 0.0}, "best")
    best, other, _ = tuned.scores
    assert (best.verdict, other.verdict) == ("best", "worse")
    assert best.score.mean == pytest.approx(0.61 + 0.1)
    assert best.of_domain == {"art": pytest.approx(0.61), "photo": pytest.approx(0.81)}
    assert other.difference == pytest.approx(-0.32 / 3)
    assert other.interval is not None
    assert list(other.interval) == pytest.approx([-0.1210, -0.0923], abs=1e-4)


def test_a_setting_that_is_worse_by_the_same_on_every_seed_is_not_chosen() -> None:
    tuned = tuned_setting(results({0.0: [1.0] * 3, 0.9: [0.5] * 3}))
    assert (tuned.values, tuned.reason) == ({"dropout_rate": 0.0}, "best")
    assert tuned.scores[1].interval is None
    tuned = tuned_setting(results({0.0: [1.0] * 3, 0.9: [1.0] * 3}))
    assert tuned.values == {"dropout_rate": 0.9}


def test_seeds_are_paired_whatever_they_share() -> None:
    """The seeds differ by much more than the settings do."""
    seeds = [0.2, 0.5, 0.8]
    tuned = tuned_setting(
        results({0.5: seeds, 0.9: [seed - gap for seed, gap in zip(seeds, (0.02, 0.021, 0.019),
                                                                  strict=True)]})
    )  # fmt: skip
    assert (tuned.values, tuned.reason) == ({"dropout_rate": 0.5}, "best")


def test_of_settings_that_cannot_be_distinguished_the_papers_rate_is_chosen() -> None:
    tuned = tuned_setting(
        results({0.0: BETTER, 0.5: CLOSE, 0.9: CLOSE}, ids={0.0: 0.9, 0.5: 0.95, 0.9: 0.7})
    )
    assert (tuned.values, tuned.reason) == ({"dropout_rate": 0.9}, "paper")
    assert [each.verdict for each in tuned.scores] == ["best", "tied", "tied"]


def test_without_the_papers_rate_among_them_id_validation_decides() -> None:
    scores = {0.0: BETTER, 0.5: CLOSE, 0.9: WORSE}
    tuned = tuned_setting(results(scores, ids={0.0: 0.8, 0.5: 0.9, 0.9: 0.99}))
    assert (tuned.values, tuned.reason) == ({"dropout_rate": 0.5}, "id")
    tuned = tuned_setting(results(scores, ids={0.0: 0.9, 0.5: 0.8, 0.9: 0.99}))
    assert (tuned.values, tuned.reason) == ({"dropout_rate": 0.0}, "id")


def test_two_seeds_distinguish_nothing() -> None:
    tuned = tuned_setting(results({0.0: BETTER[:2], 0.9: WORSE[:2]}))
    assert (tuned.values, tuned.reason) == ({"dropout_rate": 0.9}, "paper")
    assert tuned.scores[1].interval is None
    assert "2 seeds give no interval; at least 3 are needed." in choice_sentences(tuned)


def test_one_setting_is_not_chosen_by_its_score() -> None:
    tuned = tuned_setting(results({0.5: BETTER}))
    assert (tuned.values, tuned.reason) == ({"dropout_rate": 0.5}, "only")
    said = " ".join(choice_sentences(tuned))
    assert "without bias from a choice, since only one setting was run" in said
    assert "Rule:" not in said
    assert "best" not in " ".join(tuned_lines(tuned, None))


def test_the_measure_that_selects_the_step_chooses_the_setting() -> None:
    accurate = results({0.0: BETTER, 0.9: WORSE})
    balanced = [
        msgspec.structs.replace(
            each,
            selected_on="balanced",
            scores=SelectionValues(0.5, {each.target: 1 - (each.ood_accuracy or 0)}, None),
        )
        for each in accurate
    ]
    tuned = tuned_setting(balanced)
    assert (tuned.values, tuned.measure) == ({"dropout_rate": 0.9}, "balanced accuracy")
    assert tuned.reason == "best"
    assert next(tuned_lines(tuned, None)).startswith("PACS: balanced accuracy on a domain left out")


def test_other_arms_other_held_out_sources_and_final_runs_decide_nothing() -> None:
    counted = results({0.0: BETTER, 0.9: WORSE})
    others = [
        result("art", rate=0.9, arm="averaged", ood_accuracy=0.99),
        result("art", rate=0.9, held_out_source="photo", ood_accuracy=0.99),
        msgspec.structs.replace(result("none", rate=0.9), ood_accuracy=None, id_accuracy=0.99),
    ]
    assert tuned_setting([*others, *counted]) == tuned_setting(counted)


def test_it_says_how_many_were_compared_and_that_the_score_is_too_high() -> None:
    tuned = tuned_setting(results({0.0: BETTER, 0.5: CLOSE, 0.9: WORSE}))
    said = " ".join(choice_sentences(tuned))
    assert "λ 0.5 cannot be distinguished from λ 0." in said
    assert "is not an unbiased estimate of the accuracy on a new domain: the setting was" in said
    assert "chosen among 3 by this score, so it tends to be too high" in said
    assert "Student's t over 3 seeds of differences paired by seed and domain" in said
    table = [line.split() for line in tuned_lines(tuned, None)]
    assert table[1][:4] == ["dropout_rate", "left", "out", "ID"]
    assert table[2][-2:] == ["best,", "chosen"]
    assert table[4][-1] == "worse"


def test_the_docs_have_the_rule_as_it_is_printed() -> None:
    page = Path(__file__).parents[3] / "docs" / "tune.md"
    quoted = re.findall(r"^> (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert " ".join(quoted) == RULE


def test_nothing_is_chosen_without_results() -> None:
    with pytest.raises(ValueError, match="no results"):
        tuned_setting([])
