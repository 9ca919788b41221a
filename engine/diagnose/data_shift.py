"""Measure how far a domain is from the others, in features of a pre-trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import torch

from engine.data import groups_of
from engine.diagnose.chosen_images import ChosenImages
from engine.diagnose.found import Found, filled
from engine.diagnose.image_features import ImageFeatures, pretrained_network, read_features
from engine.diagnose.run_features import DomainFeatures
from engine.diagnose.target_shift import distances_of, probe_of
from engine.features.cached import SHOWN_DIGITS, FrozenPart
from engine.protocol.data_shift import OF_IMAGES, DataShift, MeasureShift
from engine.protocol.diagnostics import Diagnosis, Settings
from engine.work import Reporter, progress_of

MEASURED: Final[
    Mapping[str, Callable[[Sequence[DomainFeatures], DomainFeatures, Settings], Found]]
] = {"probe": probe_of, "distances": distances_of}
"""How the diagnostics of images alone are computed."""


def measure_shift(request: MeasureShift, images: ChosenImages, report: Reporter) -> DataShift:
    """Return how far the target is from the other domains.

    Raises:
        InputError: if a domain has very few images, or the network is unavailable.
    """
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    network = pretrained_network(request)
    read = read_features(images, network, request, report)
    by_domain = _by_domain(read)
    target = by_domain.pop(request.target)
    sources = [by_domain[name] for name in sorted(by_domain)]
    progress = progress_of(report, "computing diagnostics", "diagnostics")
    found = []
    for number, diagnostic in enumerate(OF_IMAGES):
        progress(number, len(OF_IMAGES))
        plan = Diagnosis(
            diagnostic=diagnostic.name, version=diagnostic.version, settings=diagnostic.settings,
            arm="", step=None, checkpoint="", data_digest="",
        )  # fmt: skip
        measure = partial(MEASURED[diagnostic.name], sources, target, diagnostic.settings)
        found.append(filled(plan, measure))
    progress(len(OF_IMAGES), len(OF_IMAGES))
    return DataShift(
        model=request.model,
        weights=FrozenPart.of(network).digest[:SHOWN_DIGITS],
        target=request.target,
        sources=tuple(each.domain for each in sources),
        diagnoses=tuple(found),
        unreadable=read.unreadable,
    )


def _by_domain(read: ImageFeatures) -> dict[str, DomainFeatures]:
    rows: dict[str, list[int]] = {}
    for at, file in enumerate(read.files):
        rows.setdefault(file.domain, []).append(at)
    groups = groups_of(read.image_set)
    return {
        name: DomainFeatures(
            name, "all", read.features[ats],
            None if groups is None else groups[torch.from_numpy(read.rows[ats])],
        )
        for name, ats in rows.items()
    }  # fmt: skip
