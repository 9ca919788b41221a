"""Available data sets, networks and presets, and the cost of runs.

Everything blocks, so use it in a worker.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

import msgspec

from engine.protocol import LoadedWeights, RunSpec, encode_spec
from engine.protocol.datasets import (
    CountOutliers,
    DatasetListing,
    DatasetRequest,
    DescribeDataset,
    ListDatasets,
)
from engine.protocol.feature_costs import FeatureCosts, FeatureQuestion, FeatureSource
from engine.protocol.recipes import too_few_outliers
from engine.rundir import write_atomic
from vld_tui.home import Home
from vld_tui.launch.datasets import (
    DatasetError,
    find_added,
    refuse_embedded_name,
    refuse_unfit,
    work_on_datasets,
)
from vld_tui.launch.local import EngineQuery, LaunchError, ask_engine
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.features import FeatureKey, FeaturesCost, feature_key
from vld_tui.study.forecast import (
    CountImages,
    Forecast,
    ImageCounts,
    StudyCost,
    forecast,
    with_disk,
)
from vld_tui.study.teacher import TeacherError, with_teacher

if TYPE_CHECKING:  # not for the first picture
    from vld_tui.study.define.datasets import HomeDatasets
    from vld_tui.study.define.files import StudyText
    from vld_tui.study.standing import LaunchPlan, Standing

Answer = TypeVar("Answer")

NETWORKS_FILE: Final = "networks.json"
FORM_PRESETS_SETTING: Final = "presets"
MOST_SOURCES: Final = 40
"""Sources of features in a question, which is an argument of limited length."""
LONGEST_PRESET_NAME: Final = 60
FormPreset = Mapping[str, str]
"""The typed texts by field, possibly with several seeds."""
_FormPresets = dict[str, dict[str, str]]


class Network(msgspec.Struct, frozen=True):
    """A network and the source of its weights: ``packaged``, ``cached``, ``hub`` or ``none``."""

    name: str
    weights: str

    @property
    def is_here(self) -> bool:
        """Return whether its weights are on this machine."""
        return self.weights in ("packaged", "cached")


class StudyOutline(NamedTuple):
    """The number of a study's runs, and the seconds and bytes on disk of those that do not exist
    yet; None: unknown without asking the engine."""

    runs: int
    seconds: float | None = None
    disk_bytes: int | None = None


class InspectedWeights(msgspec.Struct, frozen=True):
    """What a run would load from its weights file, or why it cannot."""

    loaded: LoadedWeights | None = None
    problem: str | None = None


class Planner(Protocol):
    """The information that the new-run form needs; methods raise :class:`UserError`."""

    def datasets(self) -> tuple[DatasetListing, ...]:
        """Return the current data sets."""

    def dataset_of(self, spec: RunSpec) -> DatasetListing:
        """Return the images of a run; problems are reported as by ``vld run``."""

    def teacher_problem(self, spec: RunSpec, listing: DatasetListing | None) -> str | None:
        """Return why a run cannot learn from its teacher; None: it can, or has none."""

    def known_networks(self) -> tuple[Network, ...]:
        """Return the networks of the last listing without blocking; empty if never listed."""

    def networks(self) -> tuple[Network, ...]:
        """Return every network, local weights first; the first call takes seconds."""

    def forecast(self, spec: RunSpec, listing: DatasetListing | None) -> Forecast:
        """Return a run's forecast."""

    def form_presets(self) -> Mapping[str, FormPreset]:
        """Return the presets by name."""

    def keep_form_preset(self, name: str, preset: FormPreset) -> None:
        """Save a preset."""

    def drop_form_preset(self, name: str) -> None:
        """Delete a preset."""

    def study_plan(self, reference: str | StudyText) -> LaunchPlan:
        """Return the plan of launching a study: saved, preset, TOML file or text."""

    def study_outline(self, reference: str) -> StudyOutline:
        """Return the size and cost of a study that was not launched, as history has them."""

    def close(self) -> None:
        """Cancel pending queries."""


class LocalPlanner:
    """Plans with the history of a home and the engine of this machine."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._networks: tuple[Network, ...] = ()
        self._datasets: tuple[DatasetListing, ...] = ()
        self._folders: dict[tuple[str, str, str | None], DatasetListing] = {}
        self._asks = threading.Lock()
        self._outlined: HomeDatasets | None = None
        self._is_closed = False
        self._asked: list[EngineQuery] = []

    def datasets(self) -> tuple[DatasetListing, ...]:
        """Return the current data sets."""
        request = ListDatasets(str(self._home.datasets))
        self._folders = {}
        self._datasets = tuple(self._work(request, list[DatasetListing]))
        return self._datasets

    def dataset_of(self, spec: RunSpec) -> DatasetListing:
        """Return the images of a run; problems are reported as by ``vld run``."""
        given = {"dataset": spec.dataset, "data_dir": spec.data_dir}
        folder = find_added(self._home, given)["data_dir"]
        if spec.data_dir is None and spec.exclude is None:
            listings = self._datasets or self.datasets()
            named = [listing for listing in listings if listing.name == spec.dataset]
            if named and named[0].where is not None:
                refuse_unfit(named[0])
                return named[0]
        refuse_embedded_name(spec.dataset, spec.data_dir)
        asked = DescribeDataset(str(folder or ""), spec.dataset, spec.layout, spec.exclude)
        listing = self._describe(asked)
        refuse_unfit(listing)
        return listing

    def teacher_problem(self, spec: RunSpec, listing: DatasetListing | None) -> str | None:
        """Return why a run cannot learn from its teacher; None: it can, or has none."""
        try:
            with_teacher(self._home, spec, listing)
        except TeacherError as error:
            return str(error)
        return None

    def outliers_problem(self, spec: RunSpec, listing: DatasetListing) -> str | None:
        """Return why a run cannot use its outliers; None: it can, as far as their number and names
        show, or has none.

        Raises:
            LaunchError: when the engine cannot answer.
        """
        if spec.outliers is None:
            return None
        try:
            images = self._work(CountOutliers(spec.outliers, listing.classes), int)
        except DatasetError as error:
            return str(error)
        return too_few_outliers(spec.outliers, images, spec.outliers_per_step)

    def known_networks(self) -> tuple[Network, ...]:
        """Return the networks of the last listing without blocking; empty if never listed."""
        if not self._networks:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                kept = self._networks_file.read_bytes()
                return msgspec.json.decode(kept, type=tuple[Network, ...])
        return self._networks

    def networks(self) -> tuple[Network, ...]:
        """Return every network, local weights first; the first call takes seconds."""
        with self._asks:
            if not self._networks:
                answer = ask_engine("models", "*", on_start=self._keep)
                found = msgspec.convert(answer, list[Network])
                self._networks = tuple(sorted(found, key=lambda network: not network.is_here))
                with contextlib.suppress(OSError):  # it can be queried again
                    write_atomic(self._networks_file, msgspec.json.encode(self._networks))
        return self._networks

    def with_disk(self, cost: StudyCost, specs: Collection[RunSpec]) -> StudyCost:
        """Return the cost with disk space, also for networks that were never run here (which
        takes seconds). It remains unknown if the engine cannot answer."""
        if cost.disk_bytes is not None or not specs:
            return cost
        models = ",".join(sorted({spec.model for spec in specs}))
        try:
            answer = ask_engine("sizes", models, on_start=self._keep)
        except LaunchError:
            return cost
        return with_disk(cost, specs, msgspec.convert(answer, dict[str, int]))

    def cost(self, store: Store, standing: Standing, datasets: HomeDatasets) -> StudyCost:
        """Return the cost of launching a study, with that of features and of networks that were
        never run here; takes seconds.

        Raises:
            StoreError: when the history cannot be read.
        """
        from vld_tui.study.standing import cost_to_launch  # not for the first picture

        specs = [spec for spec, _ in standing.costs]
        cost = cost_to_launch(store, standing, datasets)
        features = self.features(specs, datasets.known_counts, times_steps=cost.unknown > 0)
        if features is not None:
            cost = cost_to_launch(store, standing, datasets, features)
        return self.with_disk(cost, specs)

    def features(
        self, specs: Sequence[RunSpec], counts: CountImages, *, times_steps: bool
    ) -> FeaturesCost | None:
        """Return the cost of the features that runs read; None: they read none, or the engine
        cannot answer. It takes seconds, and times what is not cached yet.

        Args:
            specs: of the runs.
            counts: returns the counts of their data sets.
            times_steps: time steps even if all features are cached.
        """
        largest: dict[FeatureKey, RunSpec] = {}
        for spec in specs:
            key = feature_key(spec)
            if key is not None and (
                key not in largest or (spec.views or 0) > (largest[key].views or 0)
            ):
                largest[key] = spec
        found = {key: counts(spec.dataset, spec.data_dir) for key, spec in largest.items()}
        sources = {
            key: FeatureSource(largest[key], of_key.domains, of_key.images)
            for key, of_key in found.items()
            if of_key is not None
        }
        if not largest:
            return None
        try:
            answer = self._feature_costs(tuple(sources.values()), times_steps)
        except LaunchError:
            return None
        return FeaturesCost.of(
            {key: source.images for key, source in sources.items()},
            answer,
            sorted({largest[key].dataset for key in found.keys() - sources.keys()}),
        )

    def _feature_costs(self, sources: tuple[FeatureSource, ...], times_steps: bool) -> FeatureCosts:
        part, others = sources[:MOST_SOURCES], sources[MOST_SOURCES:]
        asked = FeatureQuestion(str(self._home.cache), part, times_steps)
        text = msgspec.json.encode(asked).decode()
        answer = msgspec.convert(ask_engine("features", text, on_start=self._keep), FeatureCosts)
        if not others:
            return answer
        costs = self._feature_costs(others, times_steps).costs
        return msgspec.structs.replace(answer, costs=answer.costs + costs)

    def devices(self) -> tuple[str, ...]:
        """Return the devices of this machine as ``--device`` names them; takes seconds.

        Raises:
            LaunchError: when the engine cannot answer.
        """
        answer = ask_engine("doctor", on_start=self._keep)
        return tuple(entry["device"] for entry in answer["devices"])

    def weights(self, spec: RunSpec) -> InspectedWeights:
        """Return what a run would load from its weights file; takes seconds."""
        asked = spec
        with contextlib.suppress(DatasetError):  # reported with the images
            given = {"dataset": spec.dataset, "data_dir": spec.data_dir}
            asked = msgspec.structs.replace(spec, **find_added(self._home, given))
        answer = ask_engine("weights", encode_spec(asked).decode(), on_start=self._keep)
        return msgspec.convert(answer, InspectedWeights)

    def forecast(self, spec: RunSpec, listing: DatasetListing | None) -> Forecast:
        """Return a run's forecast."""
        if not self._home.database.is_file():  # no runs here; do not create a home
            return Forecast()
        counts = None
        if listing is not None:
            counts = counts_of(listing)
        with Store.open(self._home) as store:
            return forecast(store, spec, host=socket.gethostname(), counts=counts)

    def form_presets(self) -> Mapping[str, FormPreset]:
        """Return the presets by name."""
        with Store.open(self._home) as store:
            return read_form_presets(store)

    def keep_form_preset(self, name: str, preset: FormPreset) -> None:
        """Save a preset."""
        with Store.open(self._home) as store:
            keep_form_preset(store, name, preset)

    def drop_form_preset(self, name: str) -> None:
        """Delete a preset."""
        with Store.open(self._home) as store:
            drop_form_preset(store, name)

    def study_plan(self, reference: str | StudyText) -> LaunchPlan:
        """Return the plan of launching a study: saved, preset, TOML file or text."""
        from vld_tui.study.standing import plan_launch  # not for the first picture

        with Store.open(self._home) as store:
            return plan_launch(store, reference, self.cost)

    def study_outline(self, reference: str) -> StudyOutline:
        """Return the size and cost of a study that was not launched, as history has them."""
        from vld_tui.study.define.datasets import HomeDatasets  # not for the first picture
        from vld_tui.study.define.files import find_text
        from vld_tui.study.standing import cost_to_launch, devices_of, standing_of

        if self._outlined is None:
            self._outlined = HomeDatasets(self._home)  # asks about each data set once
        study = find_text(self._home, reference).read(self._home, self._outlined)
        with Store.open(self._home) as store:
            cost = cost_to_launch(store, standing_of(store, study), self._outlined)
            devices = devices_of(store)
        is_known = not cost.unknown and not any(feature_key(spec) for spec in study.specs)
        seconds = cost.seconds(devices) if is_known else None
        return StudyOutline(len(study.specs), seconds, cost.disk_bytes)

    def close(self) -> None:
        """End the engine processes of pending queries."""
        self._is_closed = True
        for process in self._asked:
            process.kill()

    def _describe(self, request: DescribeDataset) -> DatasetListing:
        """Return the contents of a folder, read once."""
        place = request.location or request.name  # an embedded data set has no folder
        key = place, request.layout, request.exclude
        if key not in self._folders:
            self._folders[key] = self._work(request, DatasetListing)
        return msgspec.structs.replace(self._folders[key], name=request.name)

    def _work(self, request: DatasetRequest, answer_type: type[Answer]) -> Answer:
        return work_on_datasets(request, answer_type, on_start=self._keep)

    def _keep(self, asked: EngineQuery) -> None:
        self._asked = [each for each in self._asked if each.poll() is None] + [asked]
        if self._is_closed:
            asked.kill()

    @property
    def _networks_file(self) -> Path:
        return self._home.cache / NETWORKS_FILE


def counts_of(listing: DatasetListing) -> ImageCounts | None:
    """Return the counts of a data set; None: it is not on this machine."""
    return None if listing.where is None else ImageCounts.of(listing.domains)


def weights_places(name: str, networks: Sequence[Network]) -> set[str]:
    """Return the network's weights, or those that timm chooses from; empty if unknown."""
    named = {network.weights for network in networks if network.name == name}
    return named or {network.weights for network in networks_of_kind(name, networks)}


def networks_of_kind(name: str, networks: Sequence[Network]) -> list[Network]:
    """Return the networks of that name, one per set of weights."""
    return [network for network in networks if network.name.startswith(f"{name}.")]


def read_form_presets(store: Store) -> dict[str, dict[str, str]]:
    """Return the presets by name, sorted.

    Raises:
        StoreError: when they cannot be read.
    """
    kept = store.settings.get(FORM_PRESETS_SETTING, _FormPresets, {})
    return dict(sorted(kept.items(), key=lambda item: (item[0].casefold(), item[0])))


def keep_form_preset(store: Store, name: str, preset: FormPreset) -> None:
    """Save a preset, replacing one of the same name.

    Raises:
        StoreError: when the name is invalid, or it cannot be written.
    """
    name = name.strip()
    if not 0 < len(name) <= LONGEST_PRESET_NAME:
        raise StoreError(
            f"A preset name must have 1 to {LONGEST_PRESET_NAME} characters, not {len(name)}."
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StoreError("A preset name must be valid text.") from None
    _change(store, lambda kept: {**kept, name: dict(preset)})


def drop_form_preset(store: Store, name: str) -> None:
    """Delete a preset.

    Raises:
        StoreError: when it cannot be written.
    """
    _change(store, lambda kept: {each: kept[each] for each in kept if each != name})


def _change(store: Store, change: Callable[[_FormPresets], _FormPresets]) -> None:
    store.settings.change(FORM_PRESETS_SETTING, _FormPresets, {}, change)
