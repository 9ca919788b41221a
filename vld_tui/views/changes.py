"""How settings differ from their baseline on each target: as tables, and in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from vld_tui.study.results.inference import TargetChange, Verdict
from vld_tui.study.results.outcomes import Setting, grouped
from vld_tui.words.columns import Column, table_lines
from vld_tui.words.numbers import plural, signed_points
from vld_tui.words.text import plain_text

_VERDICTS: Final[dict[Verdict, str]] = {
    "better": "better on",
    "worse": "worse on",
    "unclear": "not distinguishable on",
}
_OOD: Final = "OOD "


def change_lines(changes: Sequence[TargetChange], cells: int | None) -> Iterator[str]:
    """Yield a table of changes by target and measure for each data set and pair of settings."""
    for (dataset, words), alike in grouped(
        changes, lambda each: (each.dataset, _pair_words(each))
    ).items():
        yield f"{plain_text(dataset)}: OOD change with {words}, points (95% interval)"
        of_target = grouped(alike, lambda each: each.target)
        measures = list(dict.fromkeys(_measure(each) for each in alike))
        rows = []
        for target, found in of_target.items():
            texts = {_measure(each): _change_text(each) for each in found}
            rows.append([plain_text(target), *(texts.get(name, "") for name in measures)])
        yield from table_lines([Column("target"), *map(Column, measures)], rows, cells)


def changes_sentence(changes: Sequence[TargetChange]) -> str:
    """Return what the intervals show, in one sentence for each pair of settings."""
    sentences = []
    for (_, words), alike in grouped(
        changes, lambda each: (each.dataset, _pair_words(each))
    ).items():
        parts = [
            f"{plain_text(label)} is {_verdicts(found)}"
            for label, found in grouped(alike, lambda each: each.quantity.label).items()
        ]
        seeds = sorted({each.seeds for each in alike})
        told = plural(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
        sentences.append(
            f"With {words}, {'; '.join(parts)} (95% intervals over {told}, not adjusted for "
            "several comparisons)."
        )
    return " ".join(sentences)


def change_records(changes: Sequence[TargetChange]) -> list[dict[str, Any]]:
    """Return changes for scripts, as shares."""
    return [
        {
            "dataset": each.dataset,
            "target": each.target,
            "setting": _setting_record(each.setting),
            "baseline": _setting_record(each.baseline),
            "measure": each.quantity.key,
            "change": each.change,
            "interval": each.interval,
            "seeds": each.seeds,
            "verdict": each.verdict,
        }
        for each in changes
    ]


def _setting_record(setting: Setting) -> dict[str, Any]:
    return {**dict(setting.values), **({"arm": setting.arm} if setting.arm else {})}


def _pair_words(each: TargetChange) -> str:
    return f"{plain_text(each.setting.label)} instead of {plain_text(each.baseline.label)}"


def _measure(each: TargetChange) -> str:
    return plain_text(each.quantity.label.removeprefix(_OOD))


def _change_text(each: TargetChange) -> str:
    text = signed_points(each.change)
    if each.interval is not None:
        text += f" ({' to '.join(map(signed_points, each.interval))})"
    return text


def _verdicts(changes: Sequence[TargetChange]) -> str:
    """Return ``better on a (+1.0 points) and not distinguishable on b and c``."""
    of_verdict = grouped(changes, lambda each: each.verdict)
    return _listed(
        [
            f"{words} {_listed([_target_text(each) for each in of_verdict[verdict]])}"
            for verdict, words in _VERDICTS.items()
            if verdict in of_verdict
        ]
    )


def _target_text(each: TargetChange) -> str:
    name = plain_text(each.target)
    return name if each.verdict == "unclear" else f"{name} ({signed_points(each.change)} points)"


def _listed(names: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
