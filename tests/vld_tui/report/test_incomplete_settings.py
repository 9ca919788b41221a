"""What a report shows of settings with missing runs."""

from __future__ import annotations

from collections.abc import Sequence

from tests.vld_tui.study.made_outcomes import study
from vld_tui.report.accuracy import by_target, centres
from vld_tui.report.incomplete import NOTE, Incomplete
from vld_tui.report.tables import records, texts
from vld_tui.study.results.outcomes import Coverage, Outcome, grouped
from vld_tui.study.results.selection import clouds

WHOLE = study(rates=(0.0, 0.9), cells=((1e-3,),), seeds=(0, 1), targets=("art", "pen"))
"""Two rates on two targets, with two seeds."""


def incomplete(results: Sequence[Outcome]) -> Incomplete:
    """Return what is incomplete of a study that has every run of :data:`WHOLE`."""
    places = grouped(WHOLE, lambda each: (each.dataset, each.target, each.setting))
    coverage = [Coverage(*place, False, len(found), 0, {}) for place, found in places.items()]
    return Incomplete.of(results, coverage)


def test_numbers_of_a_setting_appear_when_all_its_runs_have_finished() -> None:
    assert incomplete(WHOLE).withheld(by_target(WHOLE)) == by_target(WHOLE)
    last = WHOLE[-1]
    assert (last.target, last.setting.label) == ("pen", "λ 0.9")
    some = incomplete(WHOLE[:-1])
    table = some.withheld(by_target(WHOLE[:-1]))
    assert NOTE in table.notes
    shown = {(row[1].partition(" (")[0], row[2]): row[3:5] for row in texts(table)}
    assert shown["pen", "λ 0.9"] == ["1 of 2 runs", "–"]
    assert shown["mean of 2", "λ 0.9"] == ["3 of 4 runs", "–"]
    assert all("±" in cell or "(sd" in cell for cell in shown["pen", "λ 0"] + shown["art", "λ 0.9"])
    assert ["mean of 2" in row for row in texts(table)].count(True) == 1, "without the numbers"
    for record in records(table):
        is_withheld = record["setting"] == "λ 0.9" and record["target"] != "art"
        assert (record["ood_accuracy"] is None) is is_withheld
        assert (record["worst_domain_accuracy"] is None) is is_withheld
    (_, row) = texts(some.withheld(centres(WHOLE[:-1])))
    assert row[1:4] == ["λ 0.9", "3 of 4 runs", "–"]


def test_only_complete_settings_are_drawn() -> None:
    some, results = incomplete(WHOLE[:-1]), WHOLE[:-1]
    assert len(some.complete(results)) == 6
    assert [each.setting.label for each in some.complete_clouds(clouds(results))] == ["λ 0"]


def test_a_target_without_any_run_makes_the_mean_incomplete() -> None:
    results = [each for each in WHOLE if (each.target, each.setting.label) != ("pen", "λ 0.9")]
    (_, row) = texts(incomplete(results).withheld(centres(results)))
    assert row[1:3] == ["λ 0.9", "2 of 4 runs"]
