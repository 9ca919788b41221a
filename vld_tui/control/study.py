"""Launch studies: create missing runs and resume interrupted ones, here or on a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vld_tui.control.queue import work_on_queue
from vld_tui.launch.datasets import DatasetError
from vld_tui.launch.notify.process import watch
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.jobs import find_lost_batches, look_at_jobs
from vld_tui.launch.slurm.submit import Cluster, Submission, submit_runs
from vld_tui.runs.run import QUEUED
from vld_tui.store.errors import StoreError
from vld_tui.store.store import Store
from vld_tui.study.define.datasets import HomeDatasets
from vld_tui.study.define.definition import Study
from vld_tui.study.define.files import StudyText, find_text, keep_study, only_launch
from vld_tui.study.standing import (
    Standing,
    last_place,
    refuse_misfits,
    remember_place,
    runs_left_behind,
    standing_of,
)


class InterruptedSubmissionError(SlurmError):
    """The user interrupted a submission; the message shows how far it got."""

    exit_code = 130


@dataclass(frozen=True)
class Launched:
    """A launched study.

    ``before``: its standing before. ``gone``: how many runs of its previous launch are no longer in
    it. ``submission``: what was submitted; None: queued on this machine.
    """

    before: Standing
    gone: int
    submission: Submission | None = None


def launch_named(store: Store, reference: str | StudyText) -> Launched:
    """Launch the missing runs of a study, where it was last launched.

    ``reference``: a saved study, a preset, the path of a TOML file, or a study's text.

    Raises:
        StudyError, DatasetError, LaunchError, StoreError: when it is invalid, its data sets are
            unknown or cannot be read, or its runs cannot be created.
        SlurmError: when the cluster accepts nothing.
    """
    datasets = HomeDatasets(store.home)
    text = reference if isinstance(reference, StudyText) else find_text(store.home, reference)
    study = text.read(store.home, datasets)
    if datasets.refusal is not None:
        raise DatasetError(datasets.refusal)
    store.folders.look_for_others()
    store.live.refresh()
    settings = last_place(store.home, study.name)
    if settings is None:
        return launch(store, study, text)
    look_at_jobs(store)
    return launch(store, study, text, Cluster(settings))


def launch(
    store: Store,
    study: Study,
    text: StudyText,
    cluster: Cluster | None = None,
    *,
    slots: int | None = None,
) -> Launched:
    """Save a study, and queue its missing runs or submit them to a cluster.

    New runs that the cluster does not accept are deleted. ``slots``: see :func:`work_on_queue`.

    Raises:
        StudyError, StoreError, LaunchError: when the study or its runs cannot be written.
        SlurmError: when the cluster accepts nothing; no run is created then.
        InterruptedSubmissionError: on Ctrl-C; runs that were not submitted are deleted.
    """
    home, submission = store.home, None
    with only_launch(home):
        if cluster is not None:
            find_lost_batches(store)
            store.folders.take_in_others()  # created on another login node
        standing = standing_of(store, study)
        refuse_misfits(home, standing)
        gone = runs_left_behind(home, study, text)
        keep_study(home, study, text)
        if cluster is None:
            launch_missing(store, standing)
            remember_place(home, study.name, None)
        else:
            submission = _submit_missing(store, standing, cluster)
    if cluster is None:
        work_on_queue(store, slots)
    return Launched(standing, gone, submission)


def _submit_missing(store: Store, standing: Standing, cluster: Cluster) -> Submission:
    home, name = store.home, standing.study.name
    known = {run.run_id for run in standing.broken_off}
    before = last_place(home, name)
    remember_place(home, name, cluster.settings)  # in case this process dies
    try:
        runs = _make_missing(store, standing)
        submission = submit_runs(store, cluster, runs) if runs else Submission()
        watch(store)
    except KeyboardInterrupt:
        raise _interrupted(store, standing) from None
    except SlurmError:  # on other errors, runs may have been submitted
        remember_place(home, name, before)
        _unmake(store, [run for run in runs if run not in known])
        raise
    _unmake(store, [run for run in submission.left if run not in known])
    return submission


def _interrupted(store: Store, before: Standing) -> InterruptedSubmissionError:
    """Delete new runs that were not submitted, and return a message about the others."""
    find_lost_batches(store)  # sbatch may have accepted an array
    stood = {run.run_id for run in (*before.live, *before.queued)}
    now = [run for run in standing_of(store, before.study).runs if run is not None]
    given = [run for run in now if run.has_job and run.run_id not in stood]
    known = {run.run_id for run in before.runs if run is not None}
    _unmake(store, [run.run_id for run in now if run.run_id not in known])
    arrays = sorted({str(run.job).partition("_")[0] for run in given})
    jobs = f", as {Submission((), tuple(arrays)).jobs}" if arrays else ""
    return InterruptedSubmissionError(
        f"Interrupted: {len(given)} of {len(before.to_launch)} runs submitted{jobs}.\n"
        "Launch the study again to submit the others."
    )


def _unmake(store: Store, runs: Iterable[str]) -> None:
    """Delete new runs that were not submitted; the study still lists them as missing."""
    given = {each.run_id for each in store.jobs.open()}
    for run in runs:
        if run not in given:
            store.trash.discard(run)


def launch_missing(store: Store, standing: Standing) -> None:
    """Queue the rest of a study: resume interrupted runs and create missing ones.

    Existing runs also get the study's tag.

    Raises:
        StoreError: when a run cannot be created, queued or tagged.
    """
    _tag(store, standing)
    for run in standing.broken_off:
        _queue_again(store, run.run_id)
    _create_missing(store, standing, is_queued=True)


def _make_missing(store: Store, standing: Standing) -> list[str]:
    """Create a study's missing runs and return the runs to submit, including interrupted ones.

    They get the study's tag, as in :func:`launch_missing`.

    Raises:
        StoreError: when a run cannot be created or tagged.
    """
    _tag(store, standing)
    broken_off = [
        run.run_id
        for run in standing.broken_off
        if not (run.has_job or store.runs.run_dir(run.run_id).is_copy)
    ]
    return [*broken_off, *_create_missing(store, standing, is_queued=False)]


def _create_missing(store: Store, standing: Standing, *, is_queued: bool) -> list[str]:
    study = standing.study
    return store.runs.create_many(
        standing.missing, tags=(study.name,), named_by=study.named_by, is_queued=is_queued
    )


def _tag(store: Store, standing: Standing) -> None:
    tag = standing.study.name
    untagged = [run.run_id for run in standing.runs if run is not None and tag not in run.tags]
    if untagged:
        store.labels.add_tag(untagged, tag)


def _queue_again(store: Store, run_id: str) -> None:
    run = store.runs.get(run_id)
    if run.is_live or run.status in ("finished", QUEUED) or run.has_job:
        return  # another process was faster, or it is on a cluster
    if store.runs.run_dir(run_id).is_copy:
        return
    try:
        store.queue.add(run_id)
    except StoreError:
        if not store.runs.get(run_id).is_live:
            raise
