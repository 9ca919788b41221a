"""What a run would be made of and take: asked of the planner, which blocks."""

from __future__ import annotations

from engine.protocol import RunSpec, SpecError, UserError
from engine.protocol.datasets import DatasetListing, check_target
from vld_tui.dashboard.screens.new_run.messages import Appraised
from vld_tui.launch.datasets import DatasetError
from vld_tui.study.forecast import Forecast
from vld_tui.study.planner import Planner


def appraise(planner: Planner, spec: RunSpec) -> Appraised:
    """Look for the run's images and domains, and for runs like it."""
    listing: DatasetListing | None = None
    problems: dict[str, str] = {}
    images = "dataset" if spec.data_dir is None else "data_dir"
    try:
        listing = planner.dataset_of(spec)
        if listing.domains:
            check_target(spec.dataset, [domain.name for domain in listing.domains], spec.target)
        else:  # it cannot be read: why is in the notes
            problems[images] = " ".join(listing.notes) or f"{spec.dataset} has no images."
    except SpecError as error:
        problems["target"] = str(error)
    except DatasetError as error:
        problems[images] = str(error)
    except UserError:  # the run's own process will say what it cannot do
        listing = None
    try:
        forecast = planner.forecast(spec, listing)
    except UserError:
        forecast = Forecast()
    return Appraised(spec, listing, problems, forecast)


def is_same_choice(one: RunSpec, other: RunSpec) -> bool:
    """Say whether two runs have the same images and the same domain left out."""
    fields = ("dataset", "data_dir", "layout", "target")
    return all(getattr(one, name) == getattr(other, name) for name in fields)
