"""How rich a run's representation is: ``vld rich``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from engine.diagnose.alignment import linear_cka
from engine.diagnose.collapse import collapse_of
from engine.diagnose.connectivity import connectivity
from engine.diagnose.found import Found, few_images, finding, findings_of, summary_of
from engine.diagnose.neighbours import neighbours
from engine.diagnose.reliability import Reliability, reliability_of
from engine.diagnose.run_features import RunFeatures, SplitFeatures
from engine.diagnose.span import outside_span
from engine.diagnose.spectrum import Spectrum, rank_me, spectrum_of
from engine.diagnose.unit_share import SHARES, KeptUnits, accuracy_of_kept_units
from engine.errors import InputError
from engine.protocol.diagnostics import Cell, Finding, FindingTable, Settings
from engine.protocol.neighbours import NEIGHBOURS

MOST_DIRECTIONS: Final = 60
"""Directions whose singular values are stored."""


def _rank(run: RunFeatures, _settings: Settings) -> Found:
    splits = run.equally_many()
    spectra = {each.domain: spectrum_of(each.features) for each in splits}
    found = findings_of("rank_me", splits, lambda each: spectra[each.domain].rank_me)
    found += findings_of("rank_me_start", splits, lambda each: rank_me(each.before))
    limit = "the rank cannot exceed the number of images."
    return Found(
        {"rank_me": summary_of(found, run, "rank_me", "in")},
        tuple(found),
        {"spectrum": _spectrum_table(spectra)},
        notes=(_equal_numbers(splits), *few_images(splits, limit)),
    )


def _equal_numbers(splits: Sequence[SplitFeatures]) -> str:
    return (
        f"ID is measured on the sources' training images. {len(splits[0].labels):,} images of each "
        "domain are used, because the value depends on their number: compare runs on the same data "
        "set only."
    )


def _spectrum_table(spectra: Mapping[str, Spectrum]) -> FindingTable:
    """Return singular values relative to the largest at some directions, closer at the start."""
    last = max(len(each.values) for each in spectra.values())
    steps = torch.logspace(0, math.log10(last), MOST_DIRECTIONS, dtype=torch.float64)
    directions = steps.round().long().clamp(1, last).unique().tolist()
    columns = [
        [_relative(each.values, direction - 1) for direction in directions]
        for each in spectra.values()
    ]
    rows: Iterator[tuple[Cell, ...]] = zip(directions, *columns, strict=True)
    title = "Singular values by direction, relative to the largest"
    return FindingTable(title, ("direction", *spectra), tuple(rows))


def _relative(values: Tensor, at: int) -> float | None:
    return float(values[at] / values[0]) if at < len(values) and values[0] > 0 else None


def _units(run: RunFeatures, settings: Settings) -> Found:
    share = settings["share"]
    kept = {
        (each.domain, each.split): accuracy_of_kept_units(
            each.features, each.labels, run.weight, run.bias,
            masks=int(settings["masks"]), seed=int(settings["seed"]),
        )
        for each in run.judged()
    }  # fmt: skip
    found = [
        finding(each, "few_units_accuracy", one.mean)
        for each in run.judged()
        for one in kept[each.domain, each.split]
        if one.share == share
    ]
    return Found(
        {"few_units_accuracy": summary_of(found, run, "few_units_accuracy")},
        tuple(found),
        {"shares": _shares_table(run, kept)},
    )


def _shares_table(
    run: RunFeatures, kept: Mapping[tuple[str, str], Sequence[KeptUnits]]
) -> FindingTable:
    """Return the accuracy by share of the units, with its spread over masks."""
    splits = run.judged()
    columns = ["units kept", "units"]
    for each in splits:
        columns += [each.domain, f"{each.domain} sd"]
    rows: list[tuple[Cell, ...]] = []
    for at, share in enumerate(SHARES):
        of_share = [kept[each.domain, each.split][at] for each in splits]
        cells: list[Cell] = [f"{100 * share:g}%", of_share[0].units]
        for one in of_share:
            cells += [one.mean, one.sd]
        rows.append(tuple(cells))
    title = "Accuracy by share of the units kept, mean and standard deviation over masks"
    return FindingTable(title, tuple(columns), tuple(rows))


def _alignment(run: RunFeatures, _settings: Settings) -> Found:
    splits = run.equally_many()
    found = findings_of("cka", splits, lambda each: linear_cka(each.features, each.before))
    return Found(
        {"cka": summary_of(found, run, "cka", "in")},
        tuple(found),
        _stage_tables(run),
        notes=(
            _equal_numbers(splits),
            *few_images(splits, "CKA of few images is biased upwards."),
        ),
    )


def _stage_tables(run: RunFeatures) -> dict[str, FindingTable]:
    """Return the CKA of each stage by domain; nothing for a frozen backbone."""
    names = list(dict.fromkeys(name for pairs in run.stages.values() for name in pairs))
    if not names:
        return {}
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        pairs = [of_domain[name] for of_domain in run.stages.values() if name in of_domain]
        rows.append((name, pairs[0][0].shape[1], *(linear_cka(*each) for each in pairs)))
    most = max(len(now) for pairs in run.stages.values() for now, _ in pairs.values())
    title = f"CKA of each stage, mean over positions, on at most {most:,} images"
    return {"stages": FindingTable(title, ("stage", "channels", *run.stages), tuple(rows))}


def _span(run: RunFeatures, _settings: Settings) -> Found:
    sources = spectrum_of(
        torch.cat([each.features for each in run.sources("in")]), has_directions=True
    )
    found: list[Finding] = []
    for each in run.judged():
        outside = outside_span(sources, each.features)
        found.append(
            finding(each, "outside_span", None if outside is None else outside.principal_share)
        )
        found.append(
            finding(each, "outside_every_direction", None if outside is None else outside.share)
        )
    notes = [
        "The span is that of the sources' training images; ID is measured on validation images."
    ]
    if sources.is_limited_by_images:
        notes.append(
            f"Fewer training images ({sources.images:,}) than features ({sources.dimensions:,}): "
            "images like the sources' have energy outside of the span, too. Compare with ID."
        )
    return Found(
        {"outside_span": summary_of(found, run, "outside_span")}, tuple(found), notes=tuple(notes)
    )


def _collapse(run: RunFeatures, _settings: Settings) -> Found:
    notes: list[str] = []

    def measured(each: SplitFeatures) -> float | None:
        try:
            collapse = collapse_of(each.features, each.labels)
        except InputError as error:  # fewer than two classes; NaN refuses every diagnostic
            notes.append(f"{each.domain}: {error}")
            return None
        if collapse.left_out:
            left_out = "1 class" if collapse.left_out == 1 else f"{collapse.left_out} classes"
            notes.append(f"{each.domain}: {left_out} with a single image left out.")
        return collapse.nc1

    found = findings_of("nc1", [*run.sources("in"), *run.judged()], measured)
    return Found({"nc1": summary_of(found, run, "nc1")}, tuple(found), notes=tuple(notes))


def _calibration(run: RunFeatures, _settings: Settings) -> Found:
    found: list[Finding] = []
    of_bins: dict[str, list[Reliability]] = defaultdict(list)
    for each in run.judged():
        reliability = reliability_of(each.logits, each.labels)
        found.append(finding(each, "overconfidence", reliability.overconfidence))
        found.append(finding(each, "calibration_error", reliability.calibration_error))
        of_bins["target" if each.is_target else "source"].append(reliability)
    tables = {
        name: FindingTable(
            f"Reliability on the {'target' if name == 'target' else 'validation images'}",
            ("above", "up to", "images", "mean confidence", "accuracy"),
            tuple(_reliability_rows(parts)),
        )
        for name, parts in of_bins.items()
    }
    return Found({"overconfidence": summary_of(found, run, "overconfidence")}, tuple(found), tables)


def _reliability_rows(parts: Sequence[Reliability]) -> Iterator[tuple[Cell, ...]]:
    """Yield the bins of several domains taken as one, without empty ones."""
    for bins in zip(*(each.bins for each in parts), strict=True):
        images = sum(each.images for each in bins)
        if not images:
            continue
        confidence = sum((each.confidence or 0.0) * each.images for each in bins) / images
        accuracy = sum((each.accuracy or 0.0) * each.images for each in bins) / images
        yield bins[0].low, bins[0].high, images, confidence, accuracy


RICHNESS: Final[Mapping[str, Callable[[RunFeatures, Settings], Found]]] = {
    "rank": _rank,
    "units": _units,
    "alignment": _alignment,
    "span": _span,
    "collapse": _collapse,
    "calibration": _calibration,
    "connectivity": connectivity,
    NEIGHBOURS: neighbours,
}
"""How the diagnostics of ``vld rich`` are computed."""
