"""Classes and confusions as text."""

from __future__ import annotations

import pytest

from engine.protocol import DomainPredictions, Predictions, RunSpec
from tests.vld_tui.dashboard.run_facts import (
    CLASSES,
    confusions_of,
    make_predictions,
    make_progress,
)
from vld_tui.runs.progress import Progress
from vld_tui.views.accuracies import NOT_EVALUATED, domain_results
from vld_tui.views.predictions import (
    CLASS_ORDERS,
    caption,
    class_orders,
    class_shares,
    class_table,
    confusion_view,
    matrix_cells,
    predictions_line,
)
from vld_tui.words.text import width

HOSTILE = ("[red]a[/red]", "\x1b[2J\x07", "\u202eright to left", "漢字漢字漢字漢字漢字漢字")


def lines(text: object) -> list[str]:
    return [line.rstrip() for line in str(text).splitlines()]


def target_of(predictions: Predictions) -> DomainPredictions:
    return next(each for each in predictions.domains if each.is_target)


def test_shares_count_the_images_of_each_class() -> None:
    domain = DomainPredictions("d", "out", False, 1.0, confusions_of([[3, 1, 0], [0, 0, 0]][:2]))
    shares = class_shares(domain, 3)
    assert [(each.right, each.images) for each in shares] == [(3, 4), (0, 0), (0, 0)]
    assert [each.accuracy for each in shares] == [0.75, None, None]


def test_the_weakest_class_on_the_target_comes_first() -> None:
    table = lines(class_table(make_predictions(), CLASS_ORDERS[0], 80))
    assert table[0].split() == ["class", "fluent-mono", "art", "noto", "images"]
    assert [line.split()[:2] for line in table[1:]] == [
        ["food", "25.0%"], ["animal", "75.0%"], ["face", "100.0%"],
    ]  # fmt: skip


def test_other_orders_of_classes() -> None:
    by_name = lines(class_table(make_predictions(), CLASS_ORDERS[2], 80))
    assert [line.split()[0] for line in by_name[1:]] == ["animal", "face", "food"]
    weak_everywhere = DomainPredictions(
        "art", "out", False, 1.0, confusions_of([[8, 0, 0], [0, 8, 0], [7, 0, 1]])
    )
    predictions = make_predictions()
    predictions = Predictions(1, CLASSES, (weak_everywhere, target_of(predictions)), ())
    gaps = lines(class_table(predictions, CLASS_ORDERS[1], 80))
    assert gaps[1].split()[0] == "animal"  # food is weak, but no weaker than on the source


def test_without_a_target_classes_are_ordered_by_the_mean_over_domains() -> None:
    domains = tuple(
        DomainPredictions(name, "out", False, 1.0, confusions_of(rows))
        for name, rows in (("art", [[4, 0, 0], [0, 4, 0], [2, 0, 2]]),
                           ("noto", [[4, 0, 0], [3, 1, 0], [1, 0, 3]]))
    )  # fmt: skip
    predictions = Predictions(1, ("cat", "emu", "ant"), domains, ())
    weakest, by_name = class_orders(predictions)
    table = [line.split() for line in lines(class_table(predictions, weakest, 80))]
    assert table[0] == ["class", "art", "noto", "images"]
    assert [(row[0], row[-1]) for row in table[1:]] == [("emu", "8"), ("ant", "8"), ("cat", "8")]
    table = [line.split() for line in lines(class_table(predictions, by_name, 80))]
    assert [row[0] for row in table[1:]] == ["ant", "cat", "emu"]


def test_a_class_without_target_images_comes_last() -> None:
    domain = DomainPredictions("t", "in", True, 1.0, confusions_of([[0, 0], [3, 1]]))
    table = lines(class_table(Predictions(1, ("a", "b"), (domain,), ()), CLASS_ORDERS[0], 80))
    assert [line.split() for line in table[1:]] == [["b", "25.0%", "4"], ["a", "–", "0"]]


def test_a_matrix_where_it_fits() -> None:
    predictions = make_predictions()
    text = lines(confusion_view(target_of(predictions), CLASSES, matrix_cells(CLASSES)))
    assert text[:4] == [
        "           1  2  3",
        "1 animal  75 25  ·",
        "2 face     ·  ●  ·",
        "3 food    75  · 25",
    ]


@pytest.mark.parametrize("count", [65, 345])
def test_a_list_where_it_does_not_fit(count: int) -> None:
    names = [f"class {at}" for at in range(count)]
    text = lines(confusion_view(target_of(make_predictions(names)), names, 100))
    assert text[1].split() == ["class", str(count - 1), "class", "0", "6", "75.0%"]
    assert text[2].split() == ["class", "0", "class", "1", "2", "25.0%"]


def test_many_confusions_are_cut_and_counted() -> None:
    count = 30
    rows = [[1] * count for _ in range(count)]
    domain = DomainPredictions("t", "in", True, 1.0, confusions_of(rows))
    names = [f"class {at}" for at in range(count)]
    text = lines(confusion_view(domain, names, 60))
    assert text[-1] == f"… and {count * count - count - 200:,} smaller ones"


def test_nothing_wrong_is_said() -> None:
    domain = DomainPredictions("t", "in", True, 1.0, confusions_of([[4, 0], [0, 4]]))
    assert "No misclassified images." in str(confusion_view(domain, ("a", "b"), 5))
    assert str(confusion_view(DomainPredictions("t", "in", True, None, ()), (), 80))


@pytest.mark.parametrize("cells", [20, 40, 80, 200])
def test_names_from_outside_steer_nothing_and_lines_fit(cells: int) -> None:
    predictions = make_predictions(HOSTILE)
    for order in CLASS_ORDERS:
        text = class_table(predictions, order, cells)
        assert "\x1b" not in text.plain
        assert "\u202e" not in text.plain
    matrix = confusion_view(target_of(predictions), HOSTILE, cells)
    assert "\x1b" not in matrix.plain
    if cells >= 40:
        assert "[red]a[/red]" in matrix.plain
        assert all(width(line) <= max(cells, 46) for line in matrix.plain.splitlines())


def test_a_caption_keeps_the_confidence() -> None:
    assert caption("food", "animal", 0.987, 16) == ("food", "→ animal 99%")
    label, guess = caption("\x1b" * 40, "漢字" * 20, 1.0, 16)
    assert width(label) <= 16
    assert guess.endswith("… 100%")
    assert width(guess) <= 16


def test_predictions_of_another_step_are_told() -> None:
    predictions = make_predictions(step=50)
    assert predictions_line(predictions, 50) == "step 50, 3 classes"
    assert "selected step is 150" in predictions_line(predictions, 150)


def test_domains_come_sources_first_with_what_they_mean() -> None:
    table = lines(domain_results(RunSpec(), make_progress(), 100))
    assert table[0] == "step 150, selected on ID accuracy  ID 75.0%  OOD 50.0%"
    rows = [line.split()[:6] for line in table[2:6]]
    assert rows == [
        ["art", "out", "75.0%", "53.1–88.8%", "0.600", "20"],
        ["noto", "out", "75.0%", "53.1–88.8%", "0.600", "20"],
        ["fluent-mono", "in", "50.0%", "39.3–60.7%", "–", "80"],
        ["fluent-mono", "out", "50.0%", "29.9–70.1%", "0.600", "20"],
    ]
    assert str(domain_results(RunSpec(), Progress(), 80)) == NOT_EVALUATED
