"""What a report shows of diagnostics: correlations across runs, and the figure."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from tests.vld_tui.study.made_outcomes import result, study
from vld_tui.report.canvas import INK
from vld_tui.report.richness import diagnostics_table, richness_picture
from vld_tui.report.tables import Correlation, cell_text, cell_values, csv_text, records, texts
from vld_tui.study.results.outcomes import Outcome

RATES = (0.0, 0.5, 0.9, 0.95)


def measured_study(*, dataset: str = "PACS", slope: float = 1.0) -> list[Outcome]:
    """Return results on two targets whose RankMe and OOD accuracy follow their rate."""
    noise = np.random.default_rng(0)
    found = []
    for each in study(rates=RATES, cells=[()], targets=("art", "photo"), dataset=dataset):
        rate = float(each.setting.value("dropout_rate"))
        rank = 100 + 50 * rate + float(noise.normal())
        level = 0.3 if each.target == "art" else 0.6
        ood = level + slope * 0.1 * rate + 0.01 * float(noise.normal())
        measures = {"rank_me": (rank, rank / 2), "few_units_accuracy": (0.5 + rate / 4, None)}
        found.append(msgspec.structs.replace(each, ood_accuracy=ood, measures=measures))
    return found


def test_the_table_has_a_line_for_each_value_of_each_diagnostic() -> None:
    table = diagnostics_table(measured_study())
    assert table is not None
    rows = records(table)
    assert [row["measure"] for row in rows] == ["ID RankMe", "OOD RankMe", "ID 10% of units"]
    assert [row["runs"] for row in rows] == [24, 24, 24]
    assert {row["targets"] for row in rows} == {2}
    for row in rows:
        assert isinstance(row["with_ood"], float)
        assert row["with_ood"] > 0.8
    assert table.columns[3].heading == "ρ with λ (95%)"
    text = texts(table)[0][2]
    assert text.startswith("+0.")
    assert " to +0." in text
    assert any(note.startswith("RankMe: ") for note in table.notes)
    assert any("nothing is selected" in note for note in table.notes)
    assert "with_ood_low,with_ood_high" in csv_text(table)


def test_targets_of_other_difficulty_do_not_count() -> None:
    table = diagnostics_table(measured_study(slope=-1.0))
    assert table is not None
    value = records(table)[0]["with_ood"]
    assert isinstance(value, float)
    assert value < -0.8


def test_arms_and_runs_without_a_value_are_left_out() -> None:
    results = measured_study()
    without = [msgspec.structs.replace(each, measures={}) for each in results[:6]]
    arm = [
        msgspec.structs.replace(each, setting=each.setting._replace(arm="averaged"))
        for each in results
    ]
    table = diagnostics_table([*without, *results[6:], *arm])
    assert table is not None
    assert records(table)[0]["runs"] == 18
    picture = richness_picture([*without, *results[6:], *arm])
    assert picture is not None
    assert "18 runs." in picture.caption


def test_a_study_without_diagnostics_has_neither_table_nor_figure() -> None:
    results = study(cells=[()])
    assert diagnostics_table(results) is None
    assert richness_picture(results) is None
    measures = {"calibration_error": (0.1, 0.2)}
    evaluated = [msgspec.structs.replace(each, measures=measures) for each in results]
    assert diagnostics_table(evaluated) is None
    assert richness_picture(evaluated) is None


def test_the_figure_shows_each_diagnostic_against_the_rate_and_against_ood_accuracy() -> None:
    picture = richness_picture(measured_study())
    assert picture is not None
    assert picture.title == "Richness against λ, and against OOD accuracy"
    assert "24 runs" in picture.caption
    image = np.asarray(Image.open(io.BytesIO(picture.files["png"])).convert("L"))
    assert image.shape[0] > 700, "a row of panels for each of two diagnostics"
    assert (image < 200).mean() > 0.01


def test_a_line_joins_only_settings_that_differ_in_the_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crossed(each: Outcome, objective: str) -> Outcome:
        values = (*each.setting.values, ("objective", objective))
        return msgspec.structs.replace(each, setting=each.setting._replace(values=values))

    lines: list[list[float]] = []
    real = Axes.plot

    def spy(axes: Axes, *given: Any, **style: Any) -> Any:
        if style.get("color") == INK:
            lines.append(list(given[1]))
        return real(axes, *given, **style)

    monkeypatch.setattr(Axes, "plot", spy)
    one, other = measured_study(), measured_study()
    for each in other:
        each.measures["rank_me"] = (1.0, 1.0)
    picture = richness_picture(
        [*(crossed(each, "erm") for each in one), *(crossed(each, "coral") for each in other)]
    )
    assert picture is not None
    assert "differ only in λ" in picture.caption
    assert lines[1] == [1.0] * len(RATES)
    assert lines[0][0] > 90


def test_several_data_sets_are_correlated_apart() -> None:
    results = [*measured_study(), *measured_study(dataset="VLCS", slope=-1)]
    table = diagnostics_table(results)
    assert table is not None
    signs = {(row["dataset"], float(row["with_ood"] or 0) > 0) for row in records(table)}
    assert signs == {("PACS", True), ("VLCS", False)}
    assert table.breaks == (3,)
    assert richness_picture(results) is not None


def test_equal_settings_have_no_correlation_with_a_number() -> None:
    rate = [each for each in measured_study() if each.setting.value("dropout_rate") == 0.9]
    table = diagnostics_table(rate)
    assert table is not None
    assert records(table)[0]["with_number"] is None
    assert richness_picture(rate) is not None


def test_names_from_outside_are_drawn_as_they_are() -> None:
    hostile = "$x_1^{\\frac{1}{2}}$ <b>\x1b[31m"
    results = [
        msgspec.structs.replace(each, dataset=hostile, target=hostile) for each in measured_study()
    ]
    assert richness_picture([*results, *measured_study()]) is not None


def test_a_correlation_is_written_with_its_interval() -> None:
    assert cell_text(Correlation(0.5, (-0.123, 0.8))) == "+0.50 (−0.12 to +0.80)"
    assert cell_text(Correlation(-1.0, None)) == "−1.00"
    assert cell_values(Correlation(0.5, None)) == [0.5, None, None]


def test_runs_without_a_target_have_no_part() -> None:
    results = [msgspec.structs.replace(each, ood_accuracy=None) for each in measured_study()]
    assert diagnostics_table(results) is None
    assert diagnostics_table([result()]) is None
    assert richness_picture([]) is None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_runs_are_not_drawn(count: int) -> None:
    assert richness_picture(measured_study()[:count]) is None
