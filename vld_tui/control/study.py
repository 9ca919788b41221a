"""Launch studies: make their missing runs and resume those broken off, here or on a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.protocol import UserError
from vld_tui.control.queue import work_on_queue
from vld_tui.home import Home
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.slurm.batches import find_lost_batches
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.submit import Cluster, Submission, submit_runs
from vld_tui.launch.slurm.watch import look_at_jobs
from vld_tui.runs.run import QUEUED
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import StudyText, find_text, keep_study, kept_path, only_launch
from vld_tui.study.place import last_place, remember_place
from vld_tui.study.standing import Standing, left_behind, refuse_misfits, standing_of


class InterruptedSubmissionError(SlurmError):
    """The user interrupted a submission; the message says how far it was."""

    exit_code = 130


@dataclass(frozen=True)
class Launched:
    """A study that was launched.

    ``before``: how it stood. ``gone``: how many runs of its previous launch are no longer in it.
    ``submission``: what was submitted; None: it was queued on this machine.
    """

    before: Standing
    gone: int
    submission: Submission | None = None


def launch_named(store: Store, reference: str) -> Launched:
    """Launch what is missing of a kept study or a preset, where it went last.

    Raises:
        StudyError, DatasetError, LaunchError, StoreError: when it makes no sense, its data sets are
            not known or cannot be looked into, or its runs cannot be made.
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
        return launch(store, study, text)
    look_at_jobs(store)
    return launch(store, study, text, Cluster(settings))


def launch(store: Store, study: Study, text: StudyText, cluster: Cluster | None = None) -> Launched:
    """Keep a study, and queue what is missing of it or submit that to a cluster.

    New runs that the cluster does not take are deleted.

    Raises:
        StudyError, StoreError, LaunchError: when it cannot be kept, or its runs not be made.
        SlurmError: when the cluster takes nothing; no run is made then.
        InterruptedSubmissionError: at a Ctrl-C; what was not submitted by then is not made.
    """
    home, submission = store.home, None
    with only_launch(home):
        if cluster is not None:
            find_lost_batches(store)
            store.take_in_others()  # made on another login node since
        refuse_misfits(standing_of(store, study))
        gone = runs_left_behind(home, study, text)
        keep_study(home, study, text)
        standing = standing_of(store, study)
        if cluster is None:
            launch_missing(store, standing)
            remember_place(home, study.name, None)
        else:
            submission = _submit_missing(store, standing, cluster)
    if cluster is None:
        work_on_queue(store)
    return Launched(standing, gone, submission)


def _submit_missing(store: Store, standing: Standing, cluster: Cluster) -> Submission:
    home, name = store.home, standing.study.name
    known = {run.run_id for run in standing.broken_off}
    before = last_place(home, name)
    remember_place(home, name, cluster.settings)  # should this program die meanwhile
    try:
        runs = _make_missing(store, standing)
        submission = submit_runs(store, cluster, runs) if runs else Submission()
    except KeyboardInterrupt:
        raise _interrupted(store, standing) from None
    except SlurmError:  # whatever else it was, runs may have been submitted
        remember_place(home, name, before)
        _unmake(store, [run for run in runs if run not in known])
        raise
    _unmake(store, [run for run in submission.left if run not in known])
    return submission


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


def launch_missing(store: Store, standing: Standing) -> None:
    """Queue what is left of a study: runs that broke off are resumed, the others are made.

    Runs that were there get the study's tag, whoever made them.

    Raises:
        StoreError: when a run cannot be made, queued or tagged.
    """
    _tag(store, standing)
    for run in standing.broken_off:
        _queue_again(store, run.run_id)
    store.queue_runs(standing.missing, tags=(standing.study.name,))


def _make_missing(store: Store, standing: Standing) -> list[str]:
    """Make what is missing of a study and return the runs to submit, with those broken off.

    They get the study's tag, as in :func:`launch_missing`.

    Raises:
        StoreError: when a run cannot be made or tagged.
    """
    _tag(store, standing)
    broken_off = [
        run.run_id
        for run in standing.broken_off
        if not (run.has_job or store.run_dir(run.run_id).is_copy)
    ]
    return [*broken_off, *store.create_runs(standing.missing, tags=(standing.study.name,))]


def _tag(store: Store, standing: Standing) -> None:
    tag = standing.study.name
    untagged = [run.run_id for run in standing.runs if run is not None and tag not in run.tags]
    if untagged:
        store.add_tag(untagged, tag)


def _queue_again(store: Store, run_id: str) -> None:
    run = store.get(run_id)
    if run.is_live or run.status in ("finished", QUEUED) or run.has_job:
        return  # somebody was faster, or a cluster has it
    if store.run_dir(run_id).is_copy:
        return
    try:
        store.enqueue(run_id)
    except StoreError:
        if not store.get(run_id).is_live:
            raise


def _as_it_was(home: Home, name: str) -> Study | None:
    """Return the study of this name that was launched before; None where there is none that can
    be read."""
    if not kept_path(home, name).is_file():
        return None
    try:
        return find_text(home, name).read(home)
    except UserError:
        return None
