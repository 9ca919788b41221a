"""Measure how far apart the domains of a data set are, in features of a pre-trained network."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.diagnose.chosen_images import ChosenImages
from engine.diagnose.image_features import pretrained_network, read_features
from engine.diagnose.sliced_wasserstein import Distance, domain_distances
from engine.features.cached import SHOWN_DIGITS, FrozenPart
from engine.protocol.domain_distances import (
    ComparedDomains,
    CompareDomains,
    DistancesOfDomain,
    DomainDistance,
)
from engine.work import Reporter


def compare_domains(
    request: CompareDomains, images: ChosenImages, report: Reporter
) -> ComparedDomains:
    """Return the distances between every two domains, and of each to all others.

    Raises:
        InputError: if there is one domain, a domain has very few images, or the network is
            unavailable.
    """
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    network = pretrained_network(request)
    read = read_features(images, network, request, report)
    of_image = [file.domain for file in read.files]
    by_domain: dict[str, Tensor] = {
        domain: read.features[torch.tensor([each == domain for each in of_image])]
        for domain in sorted(set(of_image))
    }
    found = domain_distances(by_domain, {})
    return ComparedDomains(
        model=request.model,
        weights=FrozenPart.of(network).digest[:SHOWN_DIGITS],
        domains=tuple(
            DistancesOfDomain(
                name,
                len(features),
                _stated(found.to_sources[name]),
                {each: _stated(found.of(name, each)) for each in by_domain if each != name},
            )
            for name, features in by_domain.items()
        ),
        notes=found.notes,
        unreadable=read.unreadable,
    )


def _stated(distance: Distance) -> DomainDistance:
    return DomainDistance(*distance)
