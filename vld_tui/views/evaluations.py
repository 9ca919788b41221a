"""Evaluations of a run on other data: the list of them, and one in full."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from engine.protocol import MEASURES, Confusion
from engine.protocol.data_evaluations import NOT_A_TEST, DataEvaluation, MeasuredValue, Scores
from engine.protocol.evaluated import BALANCED
from engine.rundir import StoredEvaluations
from vld_tui.runs.evaluations import (
    MEAN,
    POOLED,
    ClassResult,
    class_results,
    pooled_confusions,
)
from vld_tui.views.predictions import confusion_view
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import decimal, moment, percent, percent_range, plural
from vld_tui.words.palette import ALARM_STYLE, HEADING_STYLE, QUIET_STYLE, VERMILION
from vld_tui.words.text import fit, plain_text, shorten

MOST_CLASSES: Final = 30
"""Classes that are listed unless all are wanted."""
MOST_NAMES: Final = 10
"""Names in a sentence."""
LABEL_CELLS: Final = 10
NOT_A_TEST_WORDS: Final = "not a test"
NOT_MEASURED: Final = MeasuredValue(None, None)
_LIST_COLUMNS: Final = (
    Column("evaluation", rank=1000, shrinks=True, narrowest=10),
    Column("accuracy", right=True, rank=999),
    Column("95% interval", right=True, rank=998),
    Column("balanced", right=True, rank=997),
    Column("images", right=True, rank=996),
    Column("network", rank=992, shrinks=True, narrowest=8),
    Column("", rank=995, style=VERMILION),
    Column("evaluated", rank=980, style=QUIET_STYLE),
)
_CLASS_COLUMNS: Final = (
    Column("class", rank=1000, shrinks=True, narrowest=10),
    Column("recall", right=True, rank=999),
    Column("95% interval", right=True, rank=994),
    Column("precision", right=True, rank=998),
    Column("F1", right=True, rank=997),
    Column("images", right=True, rank=996, style=QUIET_STYLE),
)


@dataclass(frozen=True)
class _Confused:
    """Confusions of several domains."""

    confusions: Sequence[Confusion]


def evaluation_list(stored: StoredEvaluations, cells: int) -> Text:
    """Return a line for each evaluation of a run, oldest first, then the damaged ones."""
    text = Text(no_wrap=True, overflow="crop")
    if stored.found:
        text.append_text(styled_table(_LIST_COLUMNS, [*map(_row, stored.found)], cells))
    for name, why in stored.damaged.items():
        text.append("\n" if text else "")
        text.append(f"{plain_text(name)}.json cannot be read: {plain_text(why)}", ALARM_STYLE)
    return text


def _row(each: DataEvaluation) -> list[str]:
    accuracy = each.overall.accuracy
    return [
        plain_text(each.name),
        percent(accuracy.value),
        percent_range(accuracy.interval),
        percent(each.overall.measures.get(BALANCED, NOT_MEASURED).value),
        f"{each.pooled.images:,}",
        network_words(each),
        "" if each.is_test else NOT_A_TEST_WORDS,
        moment(each.evaluated_at),
    ]


def network_words(each: DataEvaluation) -> str:
    """Return the network of an evaluation: its arm and step."""
    step = "combined" if each.step is None else f"step {each.step:,}"
    return f"{plain_text(each.arm)}, {step}{' (last)' if each.at == 'last' else ''}"


def evaluations_text(stored: StoredEvaluations, run_id: str, cells: int) -> Text:
    """Return the list of a run's evaluations, then each in full, newest first."""
    if not (stored.found or stored.damaged):
        how = f"vld evaluate {plain_text(run_id)} DATA"
        return Text(f"No evaluations on other data. To add one:\n{how}", QUIET_STYLE)
    text = evaluation_list(stored, cells)
    for each in reversed(stored.found):
        text.append("\n\n").append_text(evaluation_text(each, cells))
    return text


def evaluation_text(
    each: DataEvaluation, cells: int, *, most_classes: int | None = MOST_CLASSES
) -> Text:
    """Return an evaluation in full: its images, results by domain and class, and remarks.

    ``most_classes``: list so many of the weakest classes; None: all.
    """
    confusions = pooled_confusions(each)
    blocks = [
        _heading(each, cells),
        *(_paragraph(caution, ALARM_STYLE, cells) for caution in cautions(each)),
        _domain_table(each, cells),
        _class_table(each, confusions, cells, most_classes),
        confusion_view(_Confused(confusions), each.classes, cells),
        _lines([_paragraph(remark, QUIET_STYLE, cells) for remark in remarks(each)], "\n"),
    ]
    return _lines(blocks, "\n\n")


def _lines(blocks: Sequence[Text], between: str) -> Text:
    return Text(between, no_wrap=True, overflow="crop").join(blocks)


def _paragraph(words: str, style: str, cells: int) -> Text:
    return Text("\n".join(textwrap.wrap(words, cells)), style)


def _heading(each: DataEvaluation, cells: int) -> Text:
    """Return the name and labelled lines: data, network, images, classes."""
    text = Text(no_wrap=True, overflow="crop")
    text.append(plain_text(each.name), HEADING_STYLE)
    for label, value in _facts(each):
        text.append(f"\n  {fit(label, LABEL_CELLS)} ", QUIET_STYLE)
        text.append(shorten(value, max(20, cells - LABEL_CELLS - 3)))
    return text


def _facts(each: DataEvaluation) -> Iterator[tuple[str, str]]:
    yield "data", f"{plain_text(each.where)} · {moment(each.evaluated_at)}"
    temperature = ""
    if each.temperature is not None:
        temperature = f" · temperature {each.temperature:.3g} from ID validation"
    yield "network", f"{network_words(each)}{temperature}"
    counts = [plural(each.pooled.images, "image"), plural(len(each.domains), "domain")]
    if each.pooled.groups is not None:
        counts.append(plural(each.pooled.groups, "group"))
    present = len(each.classes) - len(each.absent)
    counts.append(f"{present:,} of {plural(len(each.classes), 'class')}")
    yield "images", ", ".join(counts)
    if each.class_map:
        pairs = (
            f"{old} → {new}" if new else f"{old} left out ({each.left_out.get(old, 0):,})"
            for old, new in each.class_map.items()
        )
        yield "mapped", plain_text(", ".join(pairs))


def _domain_table(each: DataEvaluation, cells: int) -> Text:
    """Return a line for each domain, the mean over domains, and all images."""
    measures = [MEASURES[name] for name in each.pooled.measures if name in MEASURES]
    calibrated = [*each.pooled.calibrated]
    columns = [
        Column("domain", rank=1000, shrinks=True, narrowest=8),
        Column("accuracy", right=True, rank=999),
        Column("95% interval", right=True, rank=997),
    ]
    for at, measure in enumerate(measures):
        columns.append(Column(measure.label, right=True, rank=996 - 10 * at))
        columns.append(Column("95% interval", right=True, rank=900 - 10 * at))
        if measure.name in calibrated:
            columns.append(Column(f"calibrated {measure.label}", right=True, rank=950 - at))
    columns.append(Column("loss", right=True, rank=890))
    columns.append(Column("images", right=True, rank=998, style=QUIET_STYLE))
    rows = [(plain_text(domain.domain), domain.scores) for domain in each.domains]
    if each.mean is not None:
        rows += [(MEAN, each.mean), (POOLED, each.pooled)]
    names = [measure.name for measure in measures]
    lines = [[name, *_score_cells(scores, names, calibrated)] for name, scores in rows]
    return styled_table(columns, lines, cells)


def _score_cells(
    scores: Scores, measures: Sequence[str], calibrated: Sequence[str]
) -> Iterator[str]:
    yield percent(scores.accuracy.value)
    yield percent_range(scores.accuracy.interval)
    for name in measures:
        value, interval = scores.measures.get(name, NOT_MEASURED)
        yield percent(value)
        yield percent_range(interval)
        if name in calibrated:
            yield percent(scores.calibrated.get(name, NOT_MEASURED).value)
    yield decimal(scores.loss)
    yield f"{scores.images:,}"


def _class_table(
    each: DataEvaluation, confusions: Sequence[Confusion], cells: int, most: int | None
) -> Text:
    """Return a line for each class with images or predictions, weakest first, with the recall in
    each of several domains."""
    results = class_results(confusions, each.classes)
    order = sorted(
        (at for at, result in enumerate(results) if result.images or result.predicted),
        key=lambda at: (results[at].recall is None, results[at].recall or 0.0),
    )
    shown = order[:most]
    of_domains = [
        (domain.domain, class_results(domain.confusions, each.classes))
        for domain in each.domains
        if len(each.domains) > 1
    ]
    columns = [
        *_CLASS_COLUMNS,
        *(
            Column(plain_text(name), right=True, rank=900 - at, shrinks=True, narrowest=6)
            for at, (name, _) in enumerate(of_domains)
        ),
    ]
    rows = [
        [*_class_cells(results[at]), *(percent(found[at].recall) for _, found in of_domains)]
        for at in shown
    ]
    text = styled_table(columns, rows, cells)
    if len(shown) < len(order):
        more = plural(len(order) - len(shown), "more class")
        text.append(f"\n… and {more} with higher recall", QUIET_STYLE)
    return text


def _class_cells(result: ClassResult) -> list[str]:
    return [
        plain_text(result.name),
        percent(result.recall),
        percent_range(result.interval),
        percent(result.precision),
        percent(result.f1),
        f"{result.images:,}",
    ]


def cautions(each: DataEvaluation) -> Iterator[str]:
    """Yield why a result is not a test, and how many images are missing from it."""
    own = {
        "training": "that the run was trained on",
        "validation": "that selected its step",
    }
    known = [f"{each.known[role]:,} {own[role]}" for role in NOT_A_TEST if role in each.known]
    if known:
        of_all = plural(each.pooled.images, "image")
        yield (
            f"✗ Not a test: among the {of_all} are {' and '.join(known)}. Remove these images from "
            "the data, or evaluate other domains with --domain."
        )
    if each.unreadable:
        count = plural(len(each.unreadable), "image")
        yield f"! {count} cannot be read and {'is' if count == '1 image' else 'are'} not evaluated."


def remarks(each: DataEvaluation) -> Iterator[str]:
    """Yield what the numbers mean."""
    has_groups = each.pooled.groups is not None
    drawn = "groups of images" if has_groups else "images"
    resampled = "All" if has_groups else "All but those of accuracy"
    yield (
        f"The 95% intervals cover the sampling of {drawn}, not seeds or training. {resampled} are "
        f"from {each.resamples:,} bootstrap resamples (seed {each.seed})."
    )
    if each.reading:
        yield f"Folders: {plain_text(each.reading)}."
    if each.absent:
        present = len(each.classes) - len(each.absent)
        yield (
            f"No images of {plural(len(each.absent), 'class')} of the run: {_names(each.absent)}. "
            "Images predicted as one of them count as mistakes; balanced accuracy is the mean over "
            f"the other {plural(present, 'class')}."
        )
    for role, words in (("target", "its target"), ("held-out source", "its held-out source")):
        if role in each.known:
            yield (
                f"{plural(each.known[role], 'image')} of the run's own data, from {words}, which "
                "it was not trained on."
            )
    if each.known_problem:
        yield (
            "Not searched for images that the run was trained on: "
            f"{plain_text(' '.join(each.known_problem.split()))}"
        )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return plain_text(", ".join(names[:MOST_NAMES])) + more
