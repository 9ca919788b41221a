"""The choices for a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from engine.protocol import FIELDS, NO_TARGET, RECIPES, resolve_spec
from engine.protocol.datasets import DatasetListing
from vld_tui.dashboard.screens.pick import PickOption
from vld_tui.study.planner import Network, Preset
from vld_tui.views.inventory import weights_words
from vld_tui.words.numbers import plural

A_FOLDER: Final = ""
"""Stands for a folder of images among the data sets."""
LISTED: Final = ("dataset", "target", "model", "recipe")


def is_pickable(field: str) -> bool:
    """Return whether a field's values can be listed."""
    info = FIELDS[field]
    kind = info.base
    return field in LISTED or kind is bool or (bool(info.choices) and kind is not tuple)


def dataset_choices(listings: Sequence[DatasetListing]) -> list[PickOption]:
    """Return the data sets, those on this machine first, and a folder."""
    choices = [
        PickOption(
            listing.name,
            (
                listing.name,
                dataset_words(listing) if listing.where else "not on this machine",
                "" if listing.where else f"vld data fetch {listing.name}",
            ),
            is_near=listing.where is not None,
        )
        for listing in sorted(listings, key=lambda listing: listing.where is None)
    ]
    return [*choices, PickOption(A_FOLDER, ("a folder…", "laid out as domain/class/image", ""))]


def dataset_words(listing: DatasetListing) -> str:
    """Return the size of a data set as text."""
    images = sum(domain.images for domain in listing.domains)
    return (
        f"{plural(images, 'image')} · {plural(len(listing.classes), 'class')} · "
        f"{plural(len(listing.domains), 'domain')}"
    )


def target_choices(listing: DatasetListing | None) -> list[PickOption]:
    """Return the domains with their numbers of images, and the choice of none."""
    domains = listing.domains if listing else ()
    choices = [PickOption(each.name, (each.name, plural(each.images, "image"))) for each in domains]
    return [*choices, PickOption(NO_TARGET, (NO_TARGET, "trains on every domain: no OOD accuracy"))]


def target_words(listing: DatasetListing, target: str) -> str:
    """Return the target and the sources as text."""
    images = {domain.name: domain.images for domain in listing.domains}
    if target == NO_TARGET or (not target and len(images) == 1):
        return f"no OOD accuracy · sources {' '.join(images)}"
    if target not in images:
        return f"{plural(len(images), 'domain')}: {' '.join(images)}"
    sources = " ".join(name for name in images if name != target)
    return f"{plural(images[target], 'image')} left out · sources {sources}"


def network_choices(networks: Sequence[Network]) -> list[PickOption]:
    """Return the networks; a mark shows whose weights are on this machine."""
    return [
        PickOption(
            network.name,
            (network.name, f"{'✓' if network.is_here else ' '} {weights_words(network.weights)}"),
            is_near=network.is_here,
        )
        for network in networks
    ]


def preset_choices(presets: Mapping[str, Preset]) -> list[PickOption]:
    """Return the presets with their settings."""
    return [
        PickOption(name, (name, typed_words(preset) or "no changes"))
        for name, preset in presets.items()
    ]


def typed_words(typed: Mapping[str, str]) -> str:
    """Return the typed fields as command-line options."""
    flags = {field: info.label for field, info in FIELDS.items()}
    return " · ".join(f"{flags.get(field, field)} {text}" for field, text in typed.items())


def value_choices(field: str) -> list[PickOption]:
    """Return the values of a field."""
    if field == "recipe":
        return [PickOption(name, (name, _recipe_words(name))) for name in RECIPES]
    words = FIELDS[field].choices or ("yes", "no")
    return [PickOption(word, (word,)) for word in words]


def _recipe_words(recipe: str) -> str:
    spec = resolve_spec({"recipe": recipe})
    return (
        f"{spec.model} · {plural(spec.steps, 'step')} · {spec.optimizer} {spec.lr:g} · "
        f"{plural(spec.masks, 'mask')}"
    )
