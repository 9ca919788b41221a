"""Mistakes of two runs on the same images: counts by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from vld_tui.runs.flips import KINDS, ClassFlips, FlippedImage, Flips, Kind
from vld_tui.words.columns import Column, styled_table
from vld_tui.words.numbers import UNKNOWN, percent, signed_points
from vld_tui.words.text import plain_text

if TYPE_CHECKING:
    from rich.text import Text

KIND_WORDS: Final[dict[Kind, str]] = {
    "first": "A wrong, B right",
    "second": "A right, B wrong",
    "both": "both wrong",
}
NOT_METHODS: Final = "for these two networks on these images, not for other seeds"


def flips_heading(flips: Flips, labels: Sequence[str]) -> str:
    """Return what is compared."""
    role = "target, both splits" if flips.is_target else "images that both runs evaluated"
    first, second = (plain_text(label) for label in labels)
    images = f"{flips.total.images:,} images of {plain_text(flips.domain)} ({role})"
    return f"A {first} · B {second} · {images}"


def flips_summary(flips: Flips) -> str:
    """Return the counts of all classes."""
    total = flips.total
    parts = [f"{which} {percent(_share(total, at))} right" for at, which in enumerate("AB")]
    if flips.unknown:
        return " · ".join(parts)
    parts += [f"{KIND_WORDS[kind]}: {count_of(total, kind):,}" for kind in KINDS]
    parts.append(f"both right: {total.both_right:,}")
    return " · ".join(parts)


def flips_test(flips: Flips) -> str:
    """Return the result of the test, or why there is none."""
    if (p_value := flips.p_value) is None:
        return flips.unknown
    shown = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    return f"exact McNemar test: {shown}, {NOT_METHODS}"


def flips_table(flips: Flips, cells: int) -> Text:
    """Return a line for each class, the largest gain of the second run first, and one for all."""
    columns = [
        Column("class", rank=1000, shrinks=True, narrowest=10),
        Column("images", right=True, rank=1),
        Column("A wrong", right=True, rank=900),
        Column("B wrong", right=True, rank=899),
        Column("only A", right=True, rank=902),
        Column("only B", right=True, rank=901),
        Column("both", right=True, rank=800),
        Column("B − A", right=True, rank=850),
    ]
    ordered = sorted(flips.classes, key=lambda each: (each.wrong[1] - each.wrong[0], each.name))
    rows = [_row(each) for each in (flips.total, *ordered)]
    return styled_table(columns, rows, cells, row_styles=["bold", *[""] * len(ordered)])


def _row(each: ClassFlips) -> list[str]:
    gain = (each.wrong[0] - each.wrong[1]) / each.images
    counts = (*each.wrong, each.first_wrong, each.second_wrong, each.both_wrong)
    return [
        plain_text(each.name),
        f"{each.images:,}",
        *(UNKNOWN if count is None else f"{count:,}" for count in counts),
        signed_points(gain),
    ]


def count_of(each: ClassFlips, kind: Kind) -> int:
    """Return the number of images of a kind; 0 if it is not known."""
    found = {"first": each.first_wrong, "second": each.second_wrong, "both": each.both_wrong}
    return found[kind] or 0


def flip_words(flip: FlippedImage, names: Sequence[str]) -> str:
    """Return what each run predicted for an image."""
    parts = [f"true {plain_text(names[flip.label])}"]
    for which, predicted, mistake in zip("AB", flip.predicted, flip.mistakes, strict=True):
        said = f"{which} {plain_text(names[predicted])}"
        if mistake is not None:
            said += f" {percent(mistake.confidence)}"
            if mistake.second is not None:
                second = plain_text(names[mistake.second])
                said += f" (then {second} {percent(mistake.second_confidence)})"
        parts.append(f"{said} ✓" if predicted == flip.label else said)
    return " · ".join(parts)


def flips_record(flips: Flips, run_ids: Sequence[str]) -> dict[str, Any]:
    """Return the comparison as JSON."""
    return {
        "runs": list(run_ids),
        "domain": flips.domain,
        "is_target": flips.is_target,
        "unknown": flips.unknown or None,
        "mcnemar_p": flips.p_value,
        "total": _counts(flips.total),
        "classes": {each.name: _counts(each) for each in flips.classes},
        "images": [
            {
                "index": each.index,
                "name": each.stored.name if each.stored else None,
                "label": flips.names[each.label],
                "predicted": [flips.names[predicted] for predicted in each.predicted],
            }
            for each in flips.images
        ],
    }


def _counts(each: ClassFlips) -> dict[str, Any]:
    return {
        "images": each.images,
        "wrong": list(each.wrong),
        "only_first_wrong": each.first_wrong,
        "only_second_wrong": each.second_wrong,
        "both_wrong": each.both_wrong,
        "both_right": each.both_right,
    }


def _share(each: ClassFlips, at: int) -> float | None:
    return (each.images - each.wrong[at]) / each.images if each.images else None
