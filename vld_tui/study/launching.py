"""Launching a study, from wherever a person asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine.protocol import UserError
from vld_tui.home import Home
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.queue.slots import slots_of
from vld_tui.launch.queue.supervisor import start_supervisor
from vld_tui.launch.slurm.batches import find_lost_batches
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.submit import Cluster, Submission, submit_runs
from vld_tui.launch.slurm.watch import look_at_jobs
from vld_tui.store.store import Store
from vld_tui.study.cost import StudyCost, cost_of
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import StudyText, find_text, keep_study, kept_path, only_launch
from vld_tui.study.place import last_place, remember_place
from vld_tui.study.standing import (
    Standing,
    launch_missing,
    left_behind,
    make_missing,
    refuse_misfits,
    standing_of,
)

MOST_UNASKED: Final = 100
"""New runs that are made without asking."""


class InterruptedSubmissionError(SlurmError):
    """The user interrupted a submission; the message says how far it was."""

    exit_code = 130


@dataclass(frozen=True)
class LaunchPlan:
    """What a launch would do; ``refusal``: why it cannot be done here."""

    standing: Standing
    cost: StudyCost
    devices: int
    refusal: str | None = None


def plan_launch(store: Store, reference: str) -> LaunchPlan:
    """Return what launching a study would do.

    Raises:
        StudyError: when there is none of this name, or it makes no sense.
        DatasetError, LaunchError: when a data set is not known or cannot be looked into.
        StoreError: when history cannot be read.
    """
    datasets = HomeDatasets(store.home)
    study = find_text(store.home, reference).read(store.home, datasets)
    store.refresh()
    standing = standing_of(store, study)
    return LaunchPlan(
        standing, cost_to_launch(store, standing, datasets), devices_of(store), datasets.refusal
    )


def launch_named(store: Store, reference: str) -> tuple[Standing, Submission | None]:
    """Launch what is missing of a study where it went last.

    Returns:
        How it stood before, and what was submitted if that is on a cluster.

    Raises:
        StudyError, DatasetError, LaunchError, StoreError: see :func:`plan_launch`, and when runs
            cannot be made.
        SlurmError: when the cluster takes nothing.
    """
    datasets = HomeDatasets(store.home)
    text = find_text(store.home, reference)
    study = text.read(store.home, datasets)
    if datasets.refusal is not None:
        raise DatasetError(datasets.refusal)
    store.look_for_others()
    store.refresh()
    settings = last_place(store.home, study.name)
    if settings is None:
        return launch_study(store, study, text)[0], None
    look_at_jobs(store)
    standing, _, submission = submit_study(store, study, text, Cluster(settings))
    return standing, submission


def launch_study(store: Store, study: Study, text: StudyText) -> tuple[Standing, int]:
    """Keep a study and queue what is missing; return how it stood before, and how many runs of
    it as it was are no longer in it.

    Raises:
        StudyError, StoreError, LaunchError: when it cannot be kept, or its runs not be made.
    """
    home = store.home
    with only_launch(home):
        refuse_misfits(standing_of(store, study))
        gone = runs_left_behind(home, study, text)
        keep_study(home, study, text)
        standing = standing_of(store, study)
        launch_missing(store, standing)
        remember_place(home, study.name, None)
    if store.queue():
        start_supervisor(home)
    return standing, gone


def submit_study(
    store: Store, study: Study, text: StudyText, cluster: Cluster
) -> tuple[Standing, int, Submission]:
    """Keep a study and submit what is missing to a cluster; see :func:`launch_study`.

    Returns:
        How it stood before, how many runs of it as it was are no longer in it, and what was
        submitted; new runs that were left are not there any more.

    Raises:
        SlurmError: when the cluster takes nothing; no run is made then.
        InterruptedSubmissionError: at a Ctrl-C; what was not submitted by then is not made.
        StudyError, StoreError: when it cannot be kept, or its runs not be made.
    """
    home = store.home
    with only_launch(home):
        find_lost_batches(store)
        store.take_in_others()  # made on another login node since
        refuse_misfits(standing_of(store, study))
        gone = runs_left_behind(home, study, text)
        keep_study(home, study, text)
        standing = standing_of(store, study)
        known = {run.run_id for run in standing.broken_off}
        before = last_place(home, study.name)
        remember_place(home, study.name, cluster.settings)  # should this program die meanwhile
        try:
            runs = make_missing(store, standing)
            submission = submit_runs(store, cluster, runs) if runs else Submission()
        except KeyboardInterrupt:
            raise _interrupted(store, standing) from None
        except SlurmError:  # whatever else it was, runs may have been submitted
            remember_place(home, study.name, before)
            _unmake(store, [run for run in runs if run not in known])
            raise
        _unmake(store, [run for run in submission.left if run not in known])
    return standing, gone, submission


def _interrupted(store: Store, before: Standing) -> InterruptedSubmissionError:
    """Unmake what was made and not submitted, and return what to say of the rest."""
    find_lost_batches(store)  # sbatch may have taken an array
    stood = {run.run_id for run in (*before.live, *before.queued)}
    now = [run for run in standing_of(store, before.study).runs if run is not None]
    given = [run for run in now if run.has_job and run.run_id not in stood]
    known = {run.run_id for run in before.runs if run is not None}
    _unmake(store, [run.run_id for run in now if run.run_id not in known])
    arrays = sorted({str(run.job).partition("_")[0] for run in given})
    jobs = f", as {Submission((), tuple(arrays)).jobs}" if arrays else ""
    return InterruptedSubmissionError(
        f"Interrupted: {len(given)} of {len(before.to_launch)} runs submitted{jobs}. Launch the "
        "study again for the others."
    )


def _unmake(store: Store, runs: Iterable[str]) -> None:
    """Delete runs that were made to be submitted and were not: the study knows of them."""
    given = {each.run_id for each in store.open_jobs()}
    for run in runs:
        if run not in given:
            store.discard(run)


def runs_left_behind(home: Home, study: Study, text: StudyText) -> int:
    """Return how many runs of the study that was launched before under this name are not in the
    one that would take its place."""
    if text.where == str(kept_path(home, study.name)):
        return 0
    return left_behind(_as_it_was(home, study.name), study)


def cost_to_launch(store: Store, standing: Standing, datasets: HomeDatasets) -> StudyCost:
    """Return what the runs that a launch would queue take on this machine."""
    return cost_of(store, standing.to_launch, datasets.known_counts)


def devices_of(store: Store) -> int:
    """Return how many devices the queue has; slots of one share it, and are no faster."""
    return len(set(slots_of(store)))


def _as_it_was(home: Home, name: str) -> Study | None:
    """Return the study of this name that was launched before; None where there is none that can
    be read."""
    if not kept_path(home, name).is_file():
        return None
    try:
        return find_text(home, name).read(home)
    except UserError:
        return None
