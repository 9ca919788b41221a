"""Keep the images of a data set that are nearest to real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from engine.protocol import NO_TARGET, UserError
from engine.protocol.datasets import NamedSet, RemoveDataset
from engine.protocol.image_features import ImagesOf
from engine.protocol.nearest_images import FindNearest, NearestImages
from engine.protocol.work import WorkNote, WorkProgress
from vld_tui.control.diagnose import DIAGNOSE_COMMAND
from vld_tui.home import Home
from vld_tui.launch.datasets import work_on_datasets
from vld_tui.launch.work import ask_engine
from vld_tui.runs.run import Run
from vld_tui.store.store import Store

SHOWN_RUNS: Final = 3


class NearestError(UserError):
    """Images that must not be compared; the message says what to do."""


def find_nearest(
    store: Store,
    request: FindNearest,
    on_report: Callable[[WorkProgress | WorkNote], None] = lambda _report: None,
    command: Sequence[str] = DIAGNOSE_COMMAND,
) -> NearestImages:
    """Rank images by their distance to real ones, and write those not kept as an exclude list.

    Args:
        store: the history, whose targets must not be the real images.
        request: what to compare.
        on_report: receives progress and notes.
        command: the engine's.

    Raises:
        NearestError: when real images are the target of a run.
        WorkError: when the engine refuses.
        LaunchError: when the engine cannot start, or dies.
    """
    if runs := target_runs(store, request.real):
        raise NearestError(
            f"{_targets(runs)} of {request.real.dataset}. Training images chosen by their distance "
            "to the target would make its OOD accuracy invalid. Compare with real images that no "
            "run is tested on: other domains (--to-domains) or another data set."
        )
    if runs := target_runs(store, request.images):
        on_report(
            WorkNote(
                f"! {_targets(runs)} of {request.images.dataset}: excluding images from it changes "
                "what OOD accuracy is measured on. Choose other domains with --domains."
            )
        )
    return ask_engine(command, request, NearestImages, on_report)


def target_runs(store: Store, images: ImagesOf) -> list[Run]:
    """Return the runs whose target is among some images."""
    places: dict[tuple[str, str | None], str] = {}

    def place(dataset: str, data_dir: str | None) -> str:
        key = dataset, data_dir
        if key not in places:
            places[key] = _place(store.home, dataset, data_dir)
        return places[key]

    found = [
        run
        for run in store.runs.find()
        if run.has_spec
        and run.target not in (None, NO_TARGET)
        and run.target in (images.domains or (run.target,))
    ]
    wanted = place(images.dataset, images.data_dir) if found else ""
    return [run for run in found if place(run.spec.dataset, run.spec.data_dir) == wanted]


def _place(home: Home, dataset: str, data_dir: str | None) -> str:
    """Return where images are; the same for a folder and for a data set that was added from it."""
    if data_dir is None:
        return dataset
    folder = Path(data_dir)
    if folder.parent == home.datasets and (folder / "dataset.json").is_file():
        try:
            asked = RemoveDataset(str(home.datasets), folder.name, is_trial=True)
            return str(Path(work_on_datasets(asked, NamedSet).in_place or data_dir).resolve())
        except UserError:  # damaged or unusable: no run can use it either
            return data_dir
    return str(folder.resolve())


def _targets(runs: Sequence[Run]) -> str:
    """Return the targets and their runs as the beginning of a sentence."""
    domains = sorted({str(run.target) for run in runs})
    names = ", ".join(run.label for run in runs[:SHOWN_RUNS])
    more = f" and {len(runs) - SHOWN_RUNS} more" if len(runs) > SHOWN_RUNS else ""
    verb = "is the target" if len(domains) == 1 else "are targets"
    which = "run" if len(runs) == 1 else "runs"
    return f"{', '.join(domains)} {verb} of {which} {names}{more} on the images"
