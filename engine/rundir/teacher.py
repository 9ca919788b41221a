"""The teacher of a run: another run's network, which held out the images that the run holds out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.protocol import (
    FIELDS,
    NO_TARGET,
    CombinationSpec,
    RunSpec,
    shown_value,
    spec_of,
    trial_seed,
)
from engine.rundir.checkpoints import checkpoint_files, has_finished, parent_specs
from engine.rundir.folder import RunDir

EQUAL: Final = ("dataset", "target", "held_out_source", "validation_fraction", "image_size")
"""Fields that a teacher shares with its run, in addition to the seed of the split."""
_HELD_OUT: Final = "was trained on images that this run holds out"
_REASONS: Final = {"dataset": "learned other classes", "image_size": "reads images of its own size"}
_ANOTHER: Final = "give another --teacher"


def find_teacher(spec: RunSpec, runs: Path, run_id: str | None = None) -> RunDir:
    """Return the folder of a run's teacher, which has the network of its selected step.

    Args:
        spec: of the run; its ``teacher`` is a run's id.
        runs: the folder of run folders.
        run_id: the run's own id; None: it does not exist yet.

    Raises:
        InputError: if the run has no teacher, or cannot learn from it.
    """
    if spec.teacher is None:
        raise InputError("The run has no teacher. Give --teacher RUN.")
    if spec.teacher == run_id:
        raise InputError(f"Run {run_id} cannot be its own teacher. Give another --teacher.")
    teacher = RunDir(runs / spec.teacher)
    named = f"Run {spec.teacher}, the teacher,"
    if not teacher.spec.is_file():
        raise InputError(
            f"{named} is missing: it was deleted, or is in the trash. Restore it, or {_ANOTHER}."
        )
    task = teacher.read_task()
    specs = {spec.teacher: spec_of(task)}
    if isinstance(task, CombinationSpec):
        if task.combination.method == "ensemble":
            raise InputError(
                f"{named} is an ensemble of several networks, not one network. Give one of its "
                "runs, or their soup."
            )
        specs |= parent_specs(teacher, task.combination)
    if not has_finished(teacher):
        raise InputError(f"{named} has not finished. Wait for it or resume it, or {_ANOTHER}.")
    checkpoint_files(teacher, None, "best")
    for part, theirs in specs.items():
        if problem := _difference(spec, theirs):
            of_whom = "the teacher" if part == spec.teacher else "a part of the teacher"
            raise InputError(f"Run {part}, {of_whom}, {problem}.")
    return teacher


def _difference(spec: RunSpec, theirs: RunSpec) -> str | None:
    """Return why a run with other settings cannot teach, and what to do; None: it can."""
    if trial_seed(spec) != trial_seed(theirs):
        return (
            f"has the split seed {trial_seed(theirs)}, not {trial_seed(spec)}: it {_HELD_OUT}. "
            f"Give --trial-seed {trial_seed(theirs)}, or {_ANOTHER}"
        )
    for name in EQUAL:
        value, wanted = (_shared(each, name) for each in (theirs, spec))
        if value != wanted:
            return (
                f"has {FIELDS[name].label} {shown_value(value)}, not {shown_value(wanted)}: it "
                f"{_REASONS.get(name, _HELD_OUT)}. Give {FIELDS[name].flag} {shown_value(value)}, "
                f"or {_ANOTHER}"
            )
    return None


def _shared(spec: RunSpec, name: str) -> object:
    """Return a field's value; a missing target is equal to no target."""
    value: object = getattr(spec, name)
    return NO_TARGET if name == "target" and value is None else value
