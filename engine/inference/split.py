"""The images that a finished run trained on and held out."""

from __future__ import annotations

from engine.data import RunData, load_data
from engine.errors import DataError, InputError
from engine.inference.classifier import digest_of_data
from engine.protocol import CombinationSpec, RunTask, spec_of, splits_differ
from engine.protocol.inference import At
from engine.rundir import RunDir
from engine.rundir.checkpoints import checkpoint_files, parent_specs
from engine.text import without_advice
from engine.work import Progress


def load_split(
    run_dir: RunDir,
    arm: str | None,
    at: At,
    on_progress: Progress = lambda _done, _total: None,
) -> RunData:
    """Return a run's images with their split, the same as in training.

    Args:
        run_dir: the run.
        arm: None: the run's own network.
        at: step of a network of the run that exists.
        on_progress: called with the number of decoded images of the data set and the total.

    Raises:
        InputError: if the images are missing or changed since the run, or combined runs held out
            different ones.
    """
    files = checkpoint_files(run_dir, arm, at)
    task = run_dir.read_task()
    _refuse_other_splits(run_dir, task)
    try:
        data = load_data(spec_of(task), run_dir.cache, on_progress)
    except DataError as error:  # its advice is for training
        raise InputError(
            f"The images of run {run_dir.run_id} cannot be read: {without_advice(error)}. Restore "
            "them, or use another run."
        ) from None
    trained_on = digest_of_data(files[0])
    if data.digest != trained_on:
        raise InputError(
            f"The images in {data.image_set.location} have changed since run {run_dir.run_id} was "
            f"trained (version {trained_on[:8]}, now {data.digest[:8]}), so its training and "
            "validation images are unknown."
        )
    return data


def _refuse_other_splits(run_dir: RunDir, task: RunTask) -> None:
    """Check that no combined run was trained on the validation images of the combination.

    Raises:
        InputError: if one was, or its specification is missing.
    """
    if not isinstance(task, CombinationSpec):
        return
    if splits_differ({"": task.spec, **parent_specs(run_dir, task.combination)}):
        raise InputError(
            "The combined runs held out different images (their split seeds or validation "
            "fractions differ), so some were trained on the validation images."
        )
