"""The tables of a report, for a person, for scripts and for LaTeX."""

from __future__ import annotations

import csv
import io
import re
import statistics

import msgspec
import pytest

from tests.vld_tui.study.made_outcomes import CELLS, SEEDS, TARGETS, result, study
from vld_tui.report.accuracy import (
    ONE_SEED,
    OTHER_IMAGES,
    TOO_FEW,
    UNLIKE,
    by_target,
    centres,
    measure_tables,
)
from vld_tui.report.choices import NO_HELD_OUT_SOURCES, choice_tables
from vld_tui.report.differences import EQUAL, ONE_SPLIT, differences
from vld_tui.report.tables import (
    Absent,
    PercentagePoints,
    Probability,
    Range,
    Share,
    Spread,
    Table,
    TableColumn,
    cell_text,
    csv_text,
    printed,
    records,
    sparse_texts,
    texts,
)
from vld_tui.report.terminal import table_text
from vld_tui.report.write import latex_table, latex_text
from vld_tui.study.results.outcomes import Design, Outcome, Setting

HOSTILE = "\\input{x} & 50% $y$ #1_a^b~{<script>alert(1)</script>}\x1b[31m \"' λ ± [q]"
_DESIGN = Design(("dropout_rate",), ("lr", "weight_decay"))


def test_cells_are_written_in_percent_and_points() -> None:
    cells = [None, Share(0.7345, "λ 0.9"), PercentagePoints(-0.0215),
             PercentagePoints(0.0001), Spread(0.5, 0.012),
             Spread(0.5, None), Spread(0.5, 0.007, 0.01, 2), Spread(0.5, 0.02, 0.01, 3),
             Spread(69.14, 1.5, 2.0, 3, "number"),
             Absent("2 seeds"), Range(-0.01, 0.02), Probability(0.0123), Probability(1e-4),
             1296, "as it is"]  # fmt: skip
    assert [cell_text(cell) for cell in cells] == [
        "–", "73.5 (λ 0.9)", "−2.1", "0.0", "50.0 ± 1.2", "50.0", "50.0 (sd 1.0)",
        "50.0 ± 2.0", "69.1 ± 1.50", "2 seeds", "−1.0 to +2.0", "0.012",
        "<0.001", "1,296", "as it is",
    ]  # fmt: skip


def test_each_target_has_its_row_and_the_mean_tells_how_far_they_lie_apart() -> None:
    results = [
        result("art", seed=seed, id_accuracy=0.9, ood_accuracy=accuracy,
               domains={"art": accuracy, "pen": 0.6, "ink": 0.8})
        for seed, accuracy in enumerate((0.70, 0.74))
    ] + [result("pen", ood_accuracy=0.5, domains={"art": 0.9, "pen": 0.5, "ink": 0.7})]  # fmt: skip
    art, pen, mean = records(by_target(results))
    assert art["ood_accuracy"] == pytest.approx(0.72)
    assert art["ood_accuracy_standard_error"] == pytest.approx(
        statistics.stdev((0.70, 0.74)) / 2**0.5
    )
    assert (art["worst_domain"], art["worst_source"]) == ("pen", "pen")
    assert (pen["worst_domain"], pen["worst_source"]) == ("pen", "ink")
    assert pen["worst_source_accuracy"] == pytest.approx(0.7)
    assert (art["runs"], art["seeds"], art["steps"]) == (2, "2", "300")
    assert mean["target"] == "mean of 2 (OOD 50.0–72.0)"
    assert mean["ood_accuracy"] == pytest.approx((0.72 + 0.5) / 2)
    assert (mean["runs"], mean["seeds"]) == (3, "1–2")


def test_centres_tell_what_is_given_up_for_what_is_gained() -> None:
    results = [
        result(rate=0.0, id_accuracy=0.9, ood_accuracy=0.5),
        result(rate=0.9, id_accuracy=0.87, ood_accuracy=0.56),
    ]
    base, dropped = records(centres(results))
    assert base["id_change"] is None
    assert dropped["id_change"] == pytest.approx(-0.03)
    assert dropped["ood_change"] == pytest.approx(0.06)


def test_means_over_other_targets_are_not_compared() -> None:
    results = [
        result("hard", rate=0.0, ood_accuracy=0.3), result("easy", rate=0.0, ood_accuracy=0.9),
        result("easy", rate=0.9, ood_accuracy=0.9),
    ]  # fmt: skip
    table = centres(results)
    assert UNLIKE in table.notes
    assert [row["ood_change"] for row in records(table)] == [None, None]
    assert UNLIKE not in centres(results[1:]).notes


def test_id_accuracies_of_other_images_are_not_compared() -> None:
    results = []
    for rate, augmented in ((0.0, False), (0.9, True)):
        of = Setting((("dropout_rate", rate), ("augment_validation", augmented)))
        results += [msgspec.structs.replace(each, setting=of) for each in study(rates=(rate,))]
    table = centres(results)
    assert OTHER_IMAGES in table.notes
    _, augmented_row = records(table)
    assert augmented_row["id_change"] is None
    assert augmented_row["ood_change"] is not None
    settings = next(each for each in choice_tables(results, _DESIGN) if "settings" in each.name)
    assert OTHER_IMAGES in settings.notes
    assert "ID validation" not in {row["method"] for row in records(settings)}
    assert OTHER_IMAGES not in centres(study()).notes


def test_the_gap_to_the_oracle_is_a_row_for_each_way_of_choosing() -> None:
    tables = choice_tables(study(with_held_out=True, seeds=(0,)), _DESIGN)
    assert [table.name for table in tables] == ["cells-PACS", "settings-PACS", "choices"]
    rows = [row for row in records(tables[0]) if row["among"] == "cells of λ 0"]
    assert [row["method"] for row in rows] == [
        "ID validation", "leave one source out", "oracle", "gap: oracle − ID validation",
        "gap: oracle − leave one source out",
    ]  # fmt: skip
    by_id, _, oracle, gap, _ = rows
    for target in ("art", "photo", "mean"):
        assert gap[target] == pytest.approx(float(oracle[target] or 0) - float(by_id[target] or 0))
    for table in tables:
        assert NO_HELD_OUT_SOURCES not in table.notes
        assert any("oracle" in note for note in table.notes)


def test_without_runs_that_leave_out_a_source_it_is_said_how_to_have_them() -> None:
    for table in choice_tables(study(), _DESIGN):
        assert "leave_one_source_out = true" in " ".join(table.notes)
        assert not any("leave one source" in cell_text(c) for row in table.rows for c in row)


def test_there_is_no_table_of_choices_where_there_is_none() -> None:
    assert choice_tables([result()], Design((), ())) == []


def test_one_seed_is_told_to_tell_nothing_of_seeds() -> None:
    table = differences(study(seeds=(0,)))
    assert table is not None
    (row,) = records(table)
    assert row["p"] is None
    assert row["interval_low"] is None
    assert row["interval_by"] == "one seed"
    assert row["seeds_interval_low"] is None
    assert row["seeds_interval_by"] == "one seed"
    notes = " ".join(table.notes)
    assert "the spread over seeds is unknown" in notes
    assert "95%" not in notes
    assert differences([result()]) is None


def test_it_is_said_what_an_interval_is_by_and_where_targets_are_few() -> None:
    told = {}
    for targets in (1, 2, 4, 6):
        names = [f"t{at}" for at in range(6)]
        results = study(targets=names, cells=CELLS[:1])
        table = differences([each for each in results if each.target in names[:targets]])
        assert table is not None
        (row,) = records(table)
        notes = " ".join(table.notes)
        assert "do not help for other targets" in notes
        assert ("Caution: targets that are left out in turn share their sources" in notes) == (
            targets > 2
        )
        has_bootstrap = row["bootstrap_interval_low"] is not None
        told[targets] = (row["interval_by"], row["p"] is not None, has_bootstrap)
        assert ("Few targets" in notes) == (targets == 4)
    assert told == {
        1: ("one target", False, False),
        2: ("2 targets: too few", False, False),
        4: ("t, few targets", True, True),
        6: ("t", True, True),
    }


def test_a_p_value_stands_only_beside_its_interval() -> None:
    for targets, seeds in ((TARGETS, SEEDS), (TARGETS, (0, 1)), (TARGETS[:2], SEEDS)):
        table = differences(study(rates=(0.0, 0.5, 0.9), targets=targets, seeds=seeds))
        assert table is not None
        for row in records(table):
            for interval, p in (("seeds_interval", "seeds_p"), ("interval", "p")):
                ends = (row[f"{interval}_low"], row[f"{interval}_high"])
                values = (*ends, row[p], row[f"{p}_adjusted"])
                assert len({value is None for value in values}) == 1


def test_the_interval_over_seeds_of_these_targets_stands_first() -> None:
    table = differences(study())
    assert table is not None
    headings = [column.heading for column in printed(table).columns]
    assert headings.index("95% over seeds, these 4 targets") < headings.index(
        "95% over targets (caution)"
    )
    notes = " ".join(table.notes)
    assert notes.index("95% over seeds") < notes.index("95% over targets")
    tex = latex_table(table)
    assert r"95\% over seeds, these 4 targets & p, seeds & adjusted p, seeds &" in tex
    assert "missed the true value in 24" in tex


def test_seeds_that_do_not_differ_make_no_interval_of_no_width() -> None:
    results = [
        result(target, rate=rate, seed=seed, ood_accuracy=0.7 + gain * (rate > 0))
        for target, gain in (("art", 0.02), ("pen", 0.03), ("ink", 0.01))
        for rate in (0.0, 0.9)
        for seed in SEEDS
    ]
    table = differences(results)
    assert table is not None
    (row,) = records(table)
    assert row["seeds_interval_by"] == "seeds do not differ"
    assert (row["seeds_p"], row["more_seeds"], row["interval_by"]) == (None, None, "t, few targets")
    assert EQUAL in table.notes
    assert not any("95% over seeds" in note for note in table.notes)
    alike = differences([each for each in results if each.target == "art"])
    assert alike is not None
    assert records(alike)[0]["interval_by"] == "one target"
    known = differences(study())
    assert known is not None
    assert EQUAL not in known.notes


def test_a_narrow_terminal_names_the_columns_that_its_notes_speak_of_and_it_lacks() -> None:
    table = differences(study(rates=(0.0, 0.5, 0.9)))
    assert table is not None
    headings = [column.heading for column in printed(table).columns]
    for cells in (80, 100, 1000):
        lines = table_text(table, cells).plain.splitlines()
        (heading,) = (line for line in lines if line.startswith("data set"))
        missing = [each for each in headings if each not in heading]
        told = [line for line in lines if line.startswith("Hidden columns (terminal too narrow): ")]
        assert bool(told) == bool(missing) == (cells < 1000)
        assert all(name in told[0] for name in missing)


def test_means_over_different_cells_or_targets_are_not_compared_though_as_many() -> None:
    def without(*lacking: tuple[float, str, tuple[float, ...]]) -> list[Outcome]:
        return [
            each
            for each in study(cells=CELLS[:2], targets=TARGETS[:3])
            if (each.setting.value("dropout_rate"), each.target, each.cell) not in lacking
        ]

    cells = without((0.0, "art", CELLS[0]), (0.9, "art", CELLS[1]))
    targets = without(*((0.0, "art", cell) for cell in CELLS), *((0.9, "photo", c) for c in CELLS))
    for results in (cells, targets):
        table = centres(results)
        assert UNLIKE in table.notes
        assert UNLIKE in by_target(results).notes
        assert records(table)[1]["ood_change"] is None
    assert UNLIKE not in by_target(without()).notes + centres(without()).notes


def test_with_two_seeds_it_is_said_that_they_are_too_few() -> None:
    table = differences(study(seeds=(0, 1)))
    assert table is not None
    (row,) = records(table)
    assert row["seeds_interval_by"] == "2 seeds: too few"
    assert "2 seeds: too few" in " ".join(texts(printed(table))[0])
    assert "An interval over seeds needs at least 3 seeds, not 2" in " ".join(table.notes)
    for of_accuracy in (by_target, centres):
        shown = of_accuracy(study(seeds=(0, 1)))
        cells = [text for row in texts(printed(shown)) for text in row]
        assert not any("±" in text for text in cells)
        assert any("(sd " in text for text in cells)
        assert TOO_FEW in shown.notes
        assert not {TOO_FEW, ONE_SEED} & {*of_accuracy(study()).notes}


def test_with_one_seed_the_tables_of_accuracy_say_why_there_is_no_spread() -> None:
    for of_accuracy in (by_target, centres):
        notes = of_accuracy(study(seeds=(0,))).notes
        assert ONE_SEED in notes
        assert TOO_FEW not in notes


def test_where_seeds_share_a_split_it_is_said_that_others_are_not_covered() -> None:
    own_splits = study()
    one_split = [msgspec.structs.replace(each, seed=(each.seed[0], 0)) for each in own_splits]
    for results, is_one in ((own_splits, False), (one_split, True)):
        table = differences(results)
        assert table is not None
        assert (ONE_SPLIT in " ".join(table.notes)) == is_one


def test_the_family_of_comparisons_is_stated() -> None:
    table = differences(study(rates=(0.0, 0.5, 0.9)) + study(dataset="VLCS"))
    assert table is not None
    assert "2 comparisons on PACS; 1 comparison on VLCS" in " ".join(table.notes)
    assert [row["comparisons"] for row in records(table)] == [2, 2, 1]


def test_headings_say_what_stands_after_plus_minus() -> None:
    for table, words in ((by_target(study()), "± s.e."), (centres(study()), "± 95%")):
        assert [column.heading for column in table.columns if "±" in column.heading] == [
            f"ID % {words}", f"OOD % {words}",
        ]  # fmt: skip


def test_columns_for_scripts_are_not_printed() -> None:
    columns = (TableColumn("a", "A"), TableColumn("b", "", for_scripts=True))
    table = Table("t", "T", columns, (("1", "2"),))
    assert records(table) == [{"a": "1", "b": "2"}]
    assert printed(table).rows == (("1",),)
    assert "2" not in table_text(table, 80).plain
    assert "& 2" not in latex_table(table)


def test_places_are_told_once_and_again_where_another_begins() -> None:
    columns = (
        TableColumn("dataset", "data set"), TableColumn("target", "target"),
        TableColumn("value", "value"),
    )  # fmt: skip
    rows = (("a", "x", "1"), ("a", "x", "1"), ("a", "y", "1"), ("b", "y", "1"))
    table = Table("t", "T", columns, rows)
    assert sparse_texts(table) == [
        ["a", "x", "1"], ["", "", "1"], ["", "y", "1"], ["b", "y", "1"],
    ]  # fmt: skip


def test_latex_obeys_nothing_in_a_name() -> None:
    text = latex_text(HOSTILE)
    commands = set(re.findall(r"\\[A-Za-z]+", text))
    assert commands == {
        r"\textbackslash", r"\textasciicircum", r"\textasciitilde", r"\textless",
        r"\textgreater", r"\textquotedbl", r"\lambda", r"\pm",
    }  # fmt: skip
    without = re.sub(r"\$(\\lambda|\\pm)\$", "", text)
    assert not re.search(r"(?<!\\)[&%$#_]", without)
    assert "\x1b" not in text


def test_a_latex_table_has_the_cells_of_its_columns_and_no_more() -> None:
    table = Table(
        f"na me{HOSTILE}", HOSTILE,
        (TableColumn("a", HOSTILE, right=False), TableColumn("b", "ID %")),
        ((HOSTILE, Share(0.5)), ("x", Share(0.6))), (HOSTILE,), (1,),
    )  # fmt: skip
    lines = latex_table(table).splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert body[1] == r"\midrule"
    for line in (body[0], body[2]):
        assert len(re.findall(r"(?<!\\)&", line)) == 1
        assert line.endswith(r" \\")
    (label,) = [line for line in lines if line.startswith(r"\label")]
    assert re.fullmatch(r"\\label\{tab:[\w.-]*\}", label)


def test_csv_holds_shares_and_any_name() -> None:
    table = Table(
        "t", "T", (TableColumn("name", "name"), TableColumn("ood", "OOD", parts=("", "_error"))),
        ((HOSTILE, Spread(0.51234, 0.01)), ("a,b\n", Spread(0.6, None))),
    )  # fmt: skip
    read = list(csv.DictReader(io.StringIO(csv_text(table), newline="")))
    assert read == [
        {"name": HOSTILE, "ood": "0.51234", "ood_error": "0.01"},
        {"name": "a,b\n", "ood": "0.6", "ood_error": ""},
    ]


def test_a_measure_has_a_table_in_which_runs_of_earlier_versions_have_no_value() -> None:
    known = [
        msgspec.structs.replace(
            result(seed=seed), measures={"calibration_error": (0.1 * (seed + 1), None)}
        )
        for seed in SEEDS
    ]
    (table,) = measure_tables([*known, result(rate=0.9)])
    texts = [[cell_text(cell) for cell in row] for row in table.rows]
    assert table.title == "Calibration error by target"
    assert "Lower is better." in table.notes
    error = statistics.stdev((0.1, 0.2, 0.3)) / 3**0.5
    assert texts == [
        ["PACS", "sketch", "λ 0", f"20.0 ± {100 * error:.1f}", "–", "3"],
        ["PACS", "sketch", "λ 0.9", "–", "–", "1"],
    ]
    assert measure_tables([result()]) == []
