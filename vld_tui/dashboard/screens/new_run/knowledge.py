"""What the form knows so far about data sets, networks and presets, and the choices for fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.protocol import FIELDS, NO_TARGET, RECIPES, RunSpec, resolve_spec
from engine.protocol.datasets import DatasetListing
from vld_tui.dashboard.screens.new_run.asking import LOOKING, Appraised
from vld_tui.dashboard.screens.new_run.draft import Draft
from vld_tui.dashboard.screens.pick import PickOption
from vld_tui.study.planner import FormPreset, Network, networks_of_kind, weights_places
from vld_tui.views.inventory import weights_words
from vld_tui.views.plan import masks_words
from vld_tui.words.numbers import plural

A_FOLDER: Final = ""
"""Stands for a folder of images among the data sets."""
LISTED: Final = ("dataset", "target", "model", "recipe")


@dataclass(frozen=True)
class Knowledge:
    """Answers of the planner so far. ``networks_remark``: why networks may be missing."""

    listings: Sequence[DatasetListing] = ()
    networks: Sequence[Network] = ()
    networks_remark: str = LOOKING
    appraised: Appraised | None = None

    def listing(self, draft: Draft) -> DatasetListing | None:
        """Return the listing of the chosen data set, if known."""
        if (appraised := self._appraisal(draft)) is not None:
            return appraised.listing
        if "data_dir" in draft.typed:
            return None
        name = draft.text("dataset")
        return next((each for each in self.listings if each.name == name and each.where), None)

    def problems(self, draft: Draft) -> dict[str, str]:
        """Return what is wrong with fields: problems of the texts, then of this machine."""
        appraised = self._appraisal(draft)
        return {**draft.problems, **(appraised.problems if appraised else {})}

    def notes(self, draft: Draft) -> dict[str, str]:
        """Return the notes next to fields that replace their help."""
        notes = {"model": self._network_note(draft)}
        if len(draft.specs) > 1:
            notes["seed"] = f"{len(draft.specs)} runs: 1 now, {len(draft.specs) - 1} queued"
        listing = self.listing(draft)
        if listing is not None and listing.domains:
            notes["dataset"] = dataset_words(listing)
            notes["target"] = target_words(listing, draft.text("target"))
        return notes

    def warning(self, draft: Draft) -> str:
        """Return a warning about a run that can be started; empty for none."""
        if not draft.specs or draft.specs[0].weights != "pretrained":
            return ""
        model = draft.specs[0].model
        weights = weights_places(draft.text("model"), self.networks)
        if weights == {"hub"}:
            return (
                f"! The weights of {model} are not on this machine: they will be downloaded. "
                "Offline, the run fails unless weights is a file or none."
            )
        if weights == {"none"}:
            return f"! {model} has no weights: the run fails unless weights is a file or none."
        return ""

    def choices(self, field: str, draft: Draft) -> list[PickOption]:
        """Return the choices for a field."""
        match field:
            case "dataset":
                return dataset_choices(self.listings)
            case "target":
                return target_choices(self.listing(draft))
            case "model":
                return network_choices(self.networks)
            case _:
                return value_choices(field)

    def remark(self, field: str, draft: Draft) -> str:
        """Return a remark about all choices of a field, such as why some may be missing."""
        match field:
            case "model":
                return self.networks_remark
            case "dataset" if not self.listings:
                return "looking for data sets…"
            case "target":
                listing = self.listing(draft)
                return dataset_words(listing) if listing else "domains not known yet"
            case _:
                return ""

    def _appraisal(self, draft: Draft) -> Appraised | None:
        """Return the appraisal of a run of the same images and target."""
        appraised, specs = self.appraised, draft.specs
        is_of_this = appraised and specs and _is_same_choice(appraised.spec, specs[0])
        return appraised if is_of_this else None

    def _network_note(self, draft: Draft) -> str:
        """Return where the chosen network's weights are, if known."""
        if "weights" in draft.typed:
            return f"weights: {draft.typed['weights']}"
        name = draft.text("model")
        known = {network.name: network.weights for network in self.networks}
        if name in known:
            return weights_words(known[name])
        if kinds := networks_of_kind(name, self.networks):
            return f"timm's choice of {plural(len(kinds), 'set')} of weights; enter lists them"
        return self.networks_remark or "not a known network"


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


def preset_choices(presets: Mapping[str, FormPreset]) -> list[PickOption]:
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
        f"{masks_words(spec)}"
    )


def _is_same_choice(one: RunSpec, other: RunSpec) -> bool:
    """Return whether two runs have the same images, target and teacher."""
    fields = ("dataset", "data_dir", "layout", "exclude", "target", "teacher")
    return all(getattr(one, name) == getattr(other, name) for name in fields)
