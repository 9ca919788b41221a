"""Questions to the planner, asked in workers, and the messages that answer them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from textual import work
from textual.message import Message
from textual.worker import get_current_worker

from engine.protocol import RunSpec, SpecError, UserError
from engine.protocol.datasets import DatasetListing, check_target
from vld_tui.dashboard.widgets.dialog import Dialog
from vld_tui.launch.datasets import DatasetError
from vld_tui.study.forecast import Forecast
from vld_tui.study.planner import FormPreset, Network, Planner
from vld_tui.words.text import plain_text

LOOKING: Final = "looking for networks…"


@dataclass(frozen=True)
class Order:
    """Runs to start: the first now and the others queued, or all of them queued.

    ``name``: of the run, or the start of the names of several; None: generated.
    """

    specs: tuple[RunSpec, ...]
    is_queued: bool
    name: str | None = None
    tags: tuple[str, ...] = ()


@dataclass
class DatasetsFound(Message):
    """The known data sets."""

    listings: Sequence[DatasetListing]


@dataclass
class NetworksFound(Message):
    """The known networks; ``remark``: why some may be missing."""

    networks: Sequence[Network]
    remark: str = ""


@dataclass
class PresetsFound(Message):
    """The saved presets; ``said``: what just happened to one."""

    presets: Mapping[str, FormPreset]
    said: str = ""


@dataclass
class Appraised(Message):
    """The data, the problems and the cost of a planned run.

    ``problems`` are by field.
    """

    spec: RunSpec
    listing: DatasetListing | None
    problems: Mapping[str, str]
    forecast: Forecast


class AskingScreen(Dialog[Order | None]):
    """A screen that asks a planner without blocking."""

    def __init__(self, planner: Planner) -> None:
        super().__init__()
        self._planner = planner

    @work(thread=True, group="appraisal", exclusive=True)
    def appraise(self, spec: RunSpec) -> None:
        """Appraise a run's data and cost; an earlier appraisal is cancelled."""
        worker = get_current_worker()
        appraised = appraise(self._planner, spec)
        if not worker.is_cancelled:
            self.post_message(appraised)

    @work(thread=True, group="questions")
    def ask(self, question: Callable[[Planner], Message]) -> None:
        """Post the answer, or notify the user of the error."""
        try:
            self.post_message(question(self._planner))
        except UserError as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)

    def keep_form_preset(self, name: str, preset: FormPreset) -> None:
        """Save a preset and post all presets."""

        def keep(planner: Planner) -> Message:
            planner.keep_form_preset(name, preset)
            return PresetsFound(planner.form_presets(), f"preset {plain_text(name)} saved")

        self.ask(keep)

    def drop_form_preset(self, name: str) -> None:
        """Delete a preset and post all presets."""

        def drop(planner: Planner) -> Message:
            planner.drop_form_preset(name)
            return PresetsFound(planner.form_presets(), f"preset {plain_text(name)} deleted")

        self.ask(drop)

    @work(thread=True, group="questions")
    def ask_for_networks(self) -> None:
        """Post the cached list of networks, then the present one."""
        try:
            self.post_message(NetworksFound(self._planner.known_networks(), LOOKING))
            self.post_message(NetworksFound(self._planner.networks()))
        except UserError as error:
            self.post_message(NetworksFound((), str(error).splitlines()[0]))


def ask_presets(planner: Planner) -> Message:
    """Return the presets."""
    return PresetsFound(planner.form_presets())


def ask_datasets(planner: Planner) -> Message:
    """Return the data sets."""
    return DatasetsFound(planner.datasets())


def appraise(planner: Planner, spec: RunSpec) -> Appraised:
    """Look up the run's images, domains and teacher, and comparable runs."""
    listing: DatasetListing | None = None
    problems: dict[str, str] = {}
    images = "dataset" if spec.data_dir is None else "data_dir"
    try:
        listing = planner.dataset_of(spec)
        if listing.domains:
            check_target(spec.dataset, [domain.name for domain in listing.domains], spec.target)
        else:  # it cannot be read: the notes give the reason
            problems[images] = " ".join(listing.notes) or f"{spec.dataset} has no images."
    except SpecError as error:
        problems["target"] = str(error)
    except DatasetError as error:
        problems[images] = str(error)
    except UserError:  # the run's own process will report the problem
        listing = None
    if teacher := planner.teacher_problem(spec, listing):
        problems["teacher"] = teacher
    try:
        forecast = planner.forecast(spec, listing)
    except UserError:
        forecast = Forecast()
    return Appraised(spec, listing, problems, forecast)
