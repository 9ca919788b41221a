"""Predictions by class, and confusions between classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

from rich.text import Text

from engine.protocol import Confusion, DomainPredictions, Predictions
from engine.protocol.neighbours import Neighbour
from vld_tui.runs.mistakes import ConfusionCell, Mistake, Mistakes
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import UNKNOWN, percent, plural
from vld_tui.words.palette import ID_STYLE, OOD_STYLE, QUIET_STYLE
from vld_tui.words.text import fit, plain_text, shorten, width

CLASS_ORDERS: Final = ("weakest on the target first", "largest gap to the sources first", "by name")
CLASS_ORDERS_WITHOUT_TARGET: Final = ("weakest first", CLASS_ORDERS[2])
MOST_CONFUSIONS: Final = 200
CELL: Final = 3
"""Least width of a number of the matrix in cells."""
NARROWEST_NAME: Final = 5
"""Least width of the name of a column of the matrix."""
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
    reported, shares = _reported(predictions)
    columns = [Column("class", rank=1000, shrinks=True, narrowest=10)]
    for index, domain in enumerate(reported):
        column = Column(
            plain_text(domain.domain), right=True, rank=999 - index, shrinks=True, narrowest=6
        )
        columns.append(column._replace(style=OOD_STYLE if domain.is_target else ID_STYLE))
    images = Column("images", right=True, rank=1)
    columns.append(images._replace(style=QUIET_STYLE))
    rows = []
    for label in _ordered(predictions.classes, reported, shares, order):
        accuracies = [percent(of_domain[label].accuracy) for of_domain in shares]
        counted = shares[:1] if predictions.has_target else shares
        count = sum(of_domain[label].images for of_domain in counted)
        rows.append([plain_text(predictions.classes[label]), *accuracies, f"{count:,}"])
    return styled_table(columns, rows, cells)


def class_order(predictions: Predictions, order: str) -> list[int]:
    """Return the classes in the order of :func:`class_table`."""
    return _ordered(predictions.classes, *_reported(predictions), order)


def _reported(
    predictions: Predictions,
) -> tuple[list[DomainPredictions], list[list[ClassShare]]]:
    """Return the splits that are reported, the target's first, and their counts by class."""
    reported = [each for each in predictions.domains if not each.is_target or each.split == "in"]
    reported.sort(key=lambda each: not each.is_target)
    return reported, [class_shares(each, len(predictions.classes)) for each in reported]


def _ordered(
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


class ConfusionGrid(NamedTuple):
    """A confusion matrix, or the largest confusions, as lines with cells.

    Attributes:
        lines: of the picture.
        pairs: class and predicted class of the cells, by row.
        heading_lines: number of lines above the first row.
        label_cells: width of a row's label; the whole row if it has one cell.
        cell: width of a cell.
        largest: row and column of the most frequent confusion.
    """

    lines: tuple[Text, ...] = ()
    pairs: tuple[tuple[tuple[int, int], ...], ...] = ()
    heading_lines: int = 0
    label_cells: int = 0
    cell: int = 0
    largest: tuple[int, int] = (0, 0)

    def text(self, cursor: tuple[int, int] | None = None) -> Text:
        """Return the picture, with the cell at ``cursor`` (row, column) marked."""
        lines = list(self.lines)
        if cursor is not None and self.pairs:
            row, column = cursor
            at = row + self.heading_lines
            marked = lines[at].copy()
            start = self.label_cells + column * self.cell if self.cell else 0
            marked.stylize("reverse", start + bool(self.cell), (start + self.cell) or len(marked))
            lines[at] = marked
        return Text("\n", no_wrap=True, overflow="crop").join(lines)

    def at(self, x: int, y: int) -> tuple[int, int] | None:
        """Return row and column of the cell at a place of the picture."""
        row = y - self.heading_lines
        if not 0 <= row < len(self.pairs):
            return None
        column = (x - self.label_cells) // self.cell if self.cell else 0
        return (row, column) if 0 <= column < len(self.pairs[row]) else None


def confusion_view(domain: Confused, classes: Sequence[str], cells: int) -> Text:
    """Return the confusion matrix, or the largest confusions if it does not fit."""
    return confusion_grid(domain, classes, cells).text()


def confusion_grid(
    domain: Confused, classes: Sequence[str], cells: int, order: Sequence[int] | None = None
) -> ConfusionGrid:
    """Return the confusion matrix, or the largest confusions if it does not fit.

    ``order`` is that of the classes; None: as they are numbered.
    """
    names = [plain_text(name) for name in classes]
    if names and matrix_cells(classes) <= cells:
        return _matrix(domain, names, [*range(len(names))] if order is None else order, cells)
    return _largest_confusions(domain, names, cells)


def matrix_cells(classes: Sequence[str]) -> int:
    """Return the least width that a confusion matrix takes."""
    return _label_cells([plain_text(name) for name in classes]) + CELL * len(classes)


def _label_cells(names: Sequence[str]) -> int:
    return min(LABEL_CELLS, max(map(width, names), default=0)) + len(str(len(names))) + 2


def _matrix(
    domain: Confused, names: Sequence[str], order: Sequence[int], cells: int
) -> ConfusionGrid:
    """Return the percentage of each class (a line) predicted as each class (a column).

    Columns are named if there is room for it, otherwise numbered as the lines.
    """
    counts = {(each.label, each.predicted): each.images for each in domain.confusions}
    shares = class_shares(domain, len(names))
    label_cells = _label_cells(names)
    room, longest = (cells - label_cells) // len(names) - 1, max(map(width, names))
    is_named = room >= min(longest, NARROWEST_NAME)
    cell = max(CELL, min(room, longest) + 1) if is_named else CELL
    headings = [shorten(names[label], cell - 1) for label in order]
    if not is_named:
        headings = [str(column) for column in range(1, len(names) + 1)]
    heading = "".join(" " * (cell - width(each)) + each for each in headings)
    lines = [Text(f"{'':{label_cells}}{heading}", QUIET_STYLE)]
    for row, label in enumerate(order, start=1):
        number = "" if is_named else f"{row:>{len(str(len(names)))}} "
        line = Text(f"{number}{fit(names[label], label_cells - len(number))}")
        for predicted in order:
            share = counts.get((label, predicted), 0) / (shares[label].images or 1)
            line.append(*_matrix_cell(share, cell, is_right=label == predicted))
        lines.append(line)
    lines.append(Text(f"% of a row's images; {EVERY_IMAGE} all, · none", QUIET_STYLE))
    pairs = tuple(tuple((label, predicted) for predicted in order) for label in order)
    wrong = [each for each in domain.confusions if each.label != each.predicted]
    largest = max(wrong, key=lambda each: each.images, default=Confusion(order[0], order[0], 1))
    place = {label: at for at, label in enumerate(order)}
    at = place[largest.label], place[largest.predicted]
    return ConfusionGrid(tuple(lines), pairs, 1, label_cells, cell, at)


def _matrix_cell(share: float, cell: int, *, is_right: bool) -> tuple[str, str]:
    """Return a number of the matrix and its style."""
    shown = "·" if share == 0 else EVERY_IMAGE if share == 1 else str(min(99, round(100 * share)))
    style = QUIET_STYLE if share == 0 else ID_STYLE if is_right else OOD_STYLE
    return f"{shown:>{cell}}", f"bold {style}" if share >= 0.1 else style


def _largest_confusions(domain: Confused, names: Sequence[str], cells: int) -> ConfusionGrid:
    """Return a line for each confused pair of classes, most images first."""
    wrong = [each for each in domain.confusions if each.label != each.predicted]
    if not wrong:
        return ConfusionGrid((Text("No misclassified images.", QUIET_STYLE),))
    wrong.sort(key=lambda each: -each.images)
    shares = class_shares(domain, len(names))
    columns = [
        Column("class", rank=1000, shrinks=True, narrowest=8),
        Column("predicted as", rank=999, shrinks=True, narrowest=8, style=OOD_STYLE),
        Column("images", right=True, rank=998),
        Column("of the class", right=True, rank=1, style=QUIET_STYLE),
    ]
    rows = [_confusion_row(each, names, shares[each.label]) for each in wrong[:MOST_CONFUSIONS]]
    lines = [*styled_table(columns, rows, cells).split("\n")]
    if len(wrong) > MOST_CONFUSIONS:
        more = f"… and {len(wrong) - MOST_CONFUSIONS:,} smaller ones"
        lines.append(Text(more, QUIET_STYLE))
    pairs = tuple(((each.label, each.predicted),) for each in wrong[:MOST_CONFUSIONS])
    return ConfusionGrid(tuple(lines), pairs, 1)


def _confusion_row(each: Confusion, names: Sequence[str], share: ClassShare) -> list[str]:
    of_class = percent(each.images / share.images) if share.images else UNKNOWN
    return [names[each.label], names[each.predicted], f"{each.images:,}", of_class]


def predictions_line(
    predictions: Predictions, selected_step: int | None, stored: Collection[int] = ()
) -> str:
    """Return the network of the predictions as text; ``stored`` are the steps with predictions."""
    line = f"step {predictions.step:,}, {plural(len(predictions.classes), 'class')}"
    if selected_step in stored and selected_step != predictions.step:
        line += f" (selected: step {selected_step:,})"
    elif selected_step is not None and selected_step != predictions.step:
        line += f"; the selected step is {selected_step:,}, whose predictions are not stored"
    return line


def caption(label: str, predicted: str, confidence: float, cells: int) -> tuple[str, str]:
    """Return two lines for a misclassified image: its true and predicted class."""
    sure = f" {100 * confidence:.0f}%"
    guess = shorten(plain_text(predicted), max(1, cells - len(sure) - 2))
    return shorten(plain_text(label), cells), f"→ {guess}{sure}"


def mistakes_heading(found: Mistakes, step: int, visible: range) -> str:
    """Return which misclassified images are visible, of how many stored ones, of how many."""
    images = plain_text(found.about)
    if not found.stored and not found.total:
        return f"Every {images} image is classified correctly."
    if not found.stored:
        return f"{found.total:,} misclassified {images} images at step {step:,}, none stored"
    total, stored = max(found.total, len(found.stored)), len(found.stored)
    of = f"{total:,}"
    if stored < total:
        of = f"the {stored:,} most confident of {total:,}"
    said = f"{visible.start + 1:,}–{visible.stop:,} of {of} misclassified {images} images"
    return f"{said} at step {step:,}{', most confident first' if stored == total else ''}"


def cell_heading(
    found: Mistakes, cell: ConfusionCell, classes: Sequence[str], visible: range
) -> str:
    """Return which images of a cell of a confusion matrix are visible."""
    label, predicted = plain_text(classes[cell.label]), plain_text(classes[cell.predicted])
    said = f"{label} predicted as {predicted}, {plain_text(cell.domain)} {cell.split}"
    total = f"{found.total:,} of {plural(found.images, 'image')}"
    if cell.label == cell.predicted:
        return f"{said}: {total}; correctly classified images are not stored · esc: all mistakes"
    if not found.stored:
        stored = ", not stored" if found.total else ""
        return f"{said}: {total}{stored} · esc: all mistakes"
    shown = f"{visible.start + 1:,}–{visible.stop:,} of {len(found.stored):,}"
    if len(found.stored) < found.total:
        shown += " stored"
    return f"{said}: {total}, {shown} · esc: all mistakes"


def mistake_words(
    mistake: Mistake, classes: Sequence[str], neighbours: Sequence[Neighbour] = ()
) -> str:
    """Return two lines on a misclassified image: its file, and what was predicted.

    ``neighbours`` are the training images nearest to it, whose classes follow.
    """
    where = plain_text(mistake.name) or "its file name is not stored (an earlier version)"
    place = f" · {plain_text(mistake.domain)} {mistake.split}" if mistake.domain else ""
    predicted = f"{plain_text(classes[mistake.predicted])} {percent(mistake.confidence)}"
    said = f"true {plain_text(classes[mistake.label])} · predicted {predicted}"
    if mistake.second is not None:
        second = plain_text(classes[mistake.second])
        said += f" · then {second} {percent(mistake.second_confidence)}"
    if neighbours:
        said += f" · nearest: {', '.join(plain_text(each.class_name) for each in neighbours)}"
    return f"{where}{place}\n{said}"
