"""The data and cost of a planned run; the planner blocks."""

from __future__ import annotations

from engine.protocol import RunSpec, SpecError, UserError
from engine.protocol.datasets import DatasetListing, check_target
from vld_tui.dashboard.screens.new_run.messages import Appraised
from vld_tui.launch.datasets import DatasetError
from vld_tui.study.forecast import Forecast
from vld_tui.study.planner import Planner


def appraise(planner: Planner, spec: RunSpec) -> Appraised:
    """Look up the run's images and domains, and comparable runs."""
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
    try:
        forecast = planner.forecast(spec, listing)
    except UserError:
        forecast = Forecast()
    return Appraised(spec, listing, problems, forecast)


def is_same_choice(one: RunSpec, other: RunSpec) -> bool:
    """Return whether two runs have the same images and target."""
    fields = ("dataset", "data_dir", "layout", "target")
    return all(getattr(one, name) == getattr(other, name) for name in fields)
