"""Distances between the domains of a data set: request and answer of ``vld data check``."""

from __future__ import annotations

import msgspec

from engine.protocol.image_features import ImagesOf, ReadsFeatures


class CompareDomains(ReadsFeatures, frozen=True, kw_only=True, tag="domain_distances"):
    """Measure how far apart the domains of a data set are. Response: :class:`ComparedDomains`."""

    images: ImagesOf


class DomainDistance(msgspec.Struct, frozen=True):
    """A sliced-Wasserstein-2 distance between two sets of images.

    Attributes:
        value: in standard deviations of the features along a random direction.
        chance: 95% quantile of the distance of two random samples of the images, as large as the
            two sets.
        p_value: share of such samples that are at least as far apart.
    """

    value: float
    chance: float
    p_value: float


class DistancesOfDomain(msgspec.Struct, frozen=True):
    """The distances of one domain.

    Attributes:
        domain: its name.
        images: number of readable ones.
        to_others: distance to the images of all other domains together.
        to: distance to each other domain, by its name.
    """

    domain: str
    images: int
    to_others: DomainDistance
    to: dict[str, DomainDistance]


class ComparedDomains(msgspec.Struct, frozen=True):
    """How far apart the domains of a data set are.

    Attributes:
        model: network of the features.
        weights: digest of its weights.
        domains: in order of their names.
        notes: what the user should know, in sentences.
        unreadable: number of images that cannot be read.
    """

    model: str
    weights: str
    domains: tuple[DistancesOfDomain, ...]
    notes: tuple[str, ...] = ()
    unreadable: int = 0
