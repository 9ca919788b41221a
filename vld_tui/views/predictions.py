"""Predictions by class, and confusions between classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from rich.text import Text

from engine.protocol import Confusion, DomainPredictions, Predictions
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import UNKNOWN, percent, plural
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import fit, plain_text, shorten, width

CLASS_ORDERS: Final = ("weakest on the target first", "largest gap to the sources first", "by name")
CLASS_ORDERS_WITHOUT_TARGET: Final = ("weakest first", CLASS_ORDERS[2])
MOST_CONFUSIONS: Final = 200
CELL: Final = 3
"""Width of a number of the matrix in cells."""
LABEL_CELLS: Final = 16
EVERY_IMAGE: Final = "●"


class Confused(Protocol):
    """What has numbers of images by class and predicted class."""

    @property
    def confusions(self) -> Sequence[Confusion]:
        """Return the pairs of classes with images."""


class ClassShare(NamedTuple):
    """The number of images of a class, and of those classified correctly."""

    right: int = 0
    images: int = 0

    @property
    def accuracy(self) -> float | None:
        """Return the share classified correctly; None without images."""
        return self.right / self.images if self.images else None


def class_shares(domain: Confused, classes: int) -> list[ClassShare]:
    """Return the counts of each class."""
    right, images = [0] * classes, [0] * classes
    for each in domain.confusions:
        images[each.label] += each.images
        right[each.label] += each.images * (each.label == each.predicted)
    return [ClassShare(*pair) for pair in zip(right, images, strict=True)]


def class_orders(predictions: Predictions) -> Sequence[str]:
    """Return the possible orders of classes."""
    return CLASS_ORDERS if predictions.has_target else CLASS_ORDERS_WITHOUT_TARGET


def domain_title(domain: DomainPredictions) -> str:
    """Return a domain's name with its role and split."""
    role = "target " if domain.is_target else ""
    return f"{plain_text(domain.domain)} ({role}{domain.split})"


def class_table(predictions: Predictions, order: str, cells: int) -> Text:
    """Return the accuracy of each class (a line) in each domain (a column).

    The target comes first, with its ``in`` split, which is reported as OOD. Images are counted in
    the first domain, or in all of them if there is no target.
    """
    reported = [each for each in predictions.domains if not each.is_target or each.split == "in"]
    reported.sort(key=lambda each: not each.is_target)
    shares = [class_shares(each, len(predictions.classes)) for each in reported]
    columns = [Column("class", rank=1000, shrinks=True, narrowest=10)]
    for index, domain in enumerate(reported):
        column = Column(
            plain_text(domain.domain), right=True, rank=999 - index, shrinks=True, narrowest=6
        )
        columns.append(column._replace(style=OOD_STYLE if domain.is_target else ID_STYLE))
    images = Column("images", right=True, rank=1)
    columns.append(images._replace(style=QUIET_STYLE))
    rows = []
    for label in _class_order(predictions.classes, reported, shares, order):
        accuracies = [percent(of_domain[label].accuracy) for of_domain in shares]
        counted = shares[:1] if predictions.has_target else shares
        count = sum(of_domain[label].images for of_domain in counted)
        rows.append([plain_text(predictions.classes[label]), *accuracies, f"{count:,}"])
    return styled_table(columns, rows, cells)


def _class_order(
    classes: Sequence[str],
    domains: Sequence[DomainPredictions],
    shares: Sequence[Sequence[ClassShare]],
    order: str,
) -> list[int]:
    """Return the classes in an order; those without images of the target, or of any domain if
    there is no target, come last."""
    if order == CLASS_ORDERS[2] or not domains:
        return sorted(range(len(classes)), key=lambda label: classes[label].casefold())

    def rank(label: int) -> tuple[bool, float]:
        if not domains[0].is_target:
            mean = _mean_accuracy(label, shares)
            return mean is None, mean or 0.0
        on_target = shares[0][label].accuracy
        if on_target is None:
            return True, 0.0
        if order == CLASS_ORDERS[0]:
            return False, on_target
        on_sources = _mean_accuracy(label, shares[1:])
        return on_sources is None, on_target - (on_sources or 0.0)

    return sorted(range(len(classes)), key=rank)


def _mean_accuracy(label: int, shares: Sequence[Sequence[ClassShare]]) -> float | None:
    """Return a class's mean accuracy over domains; None if no domain has images of it."""
    known = [each[label].accuracy for each in shares]
    found = [accuracy for accuracy in known if accuracy is not None]
    return sum(found) / len(found) if found else None


def confusion_view(domain: Confused, classes: Sequence[str], cells: int) -> Text:
    """Return the confusion matrix, or the largest confusions if it does not fit."""
    names = [plain_text(name) for name in classes]
    if names and matrix_cells(classes) <= cells:
        return _matrix(domain, names, _label_cells(names))
    return _largest_confusions(domain, names, cells)


def matrix_cells(classes: Sequence[str]) -> int:
    """Return the width that a confusion matrix takes."""
    return _label_cells([plain_text(name) for name in classes]) + CELL * len(classes)


def _label_cells(names: Sequence[str]) -> int:
    return min(LABEL_CELLS, max(map(width, names), default=0)) + len(str(len(names))) + 2


def _matrix(domain: Confused, names: Sequence[str], label_cells: int) -> Text:
    """Return the percentage of each class (a line) predicted as each class (a column)."""
    counts = {(each.label, each.predicted): each.images for each in domain.confusions}
    shares = class_shares(domain, len(names))
    heading = "".join(f"{column:>{CELL}}" for column in range(1, len(names) + 1))
    text = Text(no_wrap=True, overflow="crop")
    text.append(f"{'':{label_cells}}{heading}", QUIET_STYLE)
    for label, name in enumerate(names):
        number = f"{label + 1:>{len(str(len(names)))}} "
        text.append(f"\n{number}{fit(name, label_cells - len(number))}")
        for predicted in range(len(names)):
            share = counts.get((label, predicted), 0) / (shares[label].images or 1)
            text.append(*_matrix_cell(share, is_right=label == predicted))
    legend = f"\n% of a row's images; {EVERY_IMAGE} all, · none"
    return text.append(legend, QUIET_STYLE)


def _matrix_cell(share: float, *, is_right: bool) -> tuple[str, str]:
    """Return a number of the matrix and its style."""
    shown = "·" if share == 0 else EVERY_IMAGE if share == 1 else str(min(99, round(100 * share)))
    style = QUIET_STYLE if share == 0 else ID_STYLE if is_right else OOD_STYLE
    return f"{shown:>{CELL}}", f"bold {style}" if share >= 0.1 else style


def _largest_confusions(domain: Confused, names: Sequence[str], cells: int) -> Text:
    """Return a line for each confused pair of classes, most images first."""
    wrong = [each for each in domain.confusions if each.label != each.predicted]
    if not wrong:
        return Text("No misclassified images.", QUIET_STYLE)
    wrong.sort(key=lambda each: -each.images)
    shares = class_shares(domain, len(names))
    columns = [
        Column("class", rank=1000, shrinks=True, narrowest=8),
        Column("predicted as", rank=999, shrinks=True, narrowest=8, style=OOD_STYLE),
        Column("images", right=True, rank=998),
        Column("of the class", right=True, rank=1, style=QUIET_STYLE),
    ]
    rows = [_confusion_row(each, names, shares[each.label]) for each in wrong[:MOST_CONFUSIONS]]
    text = styled_table(columns, rows, cells)
    if len(wrong) > MOST_CONFUSIONS:
        text.append(f"\n… and {len(wrong) - MOST_CONFUSIONS:,} smaller ones", QUIET_STYLE)
    return text


def _confusion_row(each: Confusion, names: Sequence[str], share: ClassShare) -> list[str]:
    of_class = percent(each.images / share.images) if share.images else UNKNOWN
    return [names[each.label], names[each.predicted], f"{each.images:,}", of_class]


def predictions_line(predictions: Predictions, selected_step: int | None) -> str:
    """Return the network of the predictions as text."""
    line = f"step {predictions.step:,}, {plural(len(predictions.classes), 'class')}"
    if selected_step is not None and selected_step != predictions.step:
        line += f"; the selected step is {selected_step:,}, whose predictions are not stored"
    return line


def caption(label: str, predicted: str, confidence: float, cells: int) -> tuple[str, str]:
    """Return two lines for a misclassified image: its true and predicted class."""
    sure = f" {100 * confidence:.0f}%"
    guess = shorten(plain_text(predicted), max(1, cells - len(sure) - 2))
    return shorten(plain_text(label), cells), f"→ {guess}{sure}"
