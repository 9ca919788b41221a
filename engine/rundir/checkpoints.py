"""The checkpoints of a run that a use of its network reads; found without importing torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open

from engine.errors import DamagedFileError, InputError
from engine.protocol import (
    NETWORK_ARMS,
    Combination,
    CombinationSpec,
    DataPrepared,
    EventDecodeError,
    RunFinished,
    RunSpec,
    decode_event,
    nearest,
    own_arm,
    spec_of,
)
from engine.protocol.inference import At
from engine.rundir.folder import RunDir


class CheckpointError(InputError):
    """A checkpoint at ``path`` that is missing or damaged."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


@contextmanager
def offering_other_step(run_dir: RunDir) -> Iterator[None]:
    """Name the option ``--at`` in errors of the block if the run has its other checkpoint."""
    try:
        yield
    except CheckpointError as error:
        other = {"best": "last", "last": "best"}.get(error.path.stem, "")
        is_own = error.path.parent == run_dir.checkpoints
        if is_own and (run_dir.checkpoints / f"{other}.safetensors").is_file():
            raise InputError(f"{error} Or use --at {other}.") from None
        raise


def checkpoint_files(run_dir: RunDir, arm: str | None, at: At) -> tuple[Path, ...]:
    """Return the checkpoints to load: several for an ensemble of runs.

    Raises:
        InputError: if one does not exist.
    """
    if not run_dir.spec.is_file():
        raise InputError(f"{run_dir.path} is not a run folder: spec.json is missing.")
    task = run_dir.read_task()
    own = own_arm(task)
    if isinstance(task, CombinationSpec) and own == "ensemble" and arm in (None, own):
        return tuple(_parent_file(run_dir, each.file) for each in task.combination.parents)
    name: str = at if arm in (None, own) else _checkpoint_of_arm(run_dir, arm, at)
    path = run_dir.checkpoints / f"{name}.safetensors"
    if not path.is_file():
        raise CheckpointError(_no_checkpoint(run_dir, path), path)
    return (path,)


def _checkpoint_of_arm(run_dir: RunDir, arm: str | None, at: At) -> str:
    """Return the name of the checkpoint of an additional arm."""
    task = run_dir.read_task()
    arms = (own_arm(task), *spec_of(task).arms)
    if arm not in arms:
        known, hint = ", ".join(arms), nearest(arm or "", arms)
        raise InputError(f"Run {run_dir.run_id} has no arm {arm}; it has {known}.{hint}")
    if arm not in NETWORK_ARMS:
        raise InputError(
            f"The arm {arm} of run {run_dir.run_id} averages the logits of many steps, whose "
            "networks are not kept. To use several runs as one: vld combine ensemble RUN RUN"
        )
    if at == "last":
        raise InputError(f"The arm {arm} is kept at its selected step only. Drop --at last.")
    return arm


def _parent_file(run_dir: RunDir, file: str | None) -> Path:
    """Return a parent's checkpoint, at its recorded path or in the same home."""
    if file is None:
        raise AssertionError("an ensemble has no pre-trained parent")
    path = Path(file)
    same_home = run_dir.path.parent.joinpath(*path.parts[-3:])
    found = next((each for each in (path, same_home) if each.is_file()), None)
    if found is None:
        raise InputError(
            f"The ensemble {run_dir.run_id} needs the checkpoint {path}, which was deleted or "
            "moved. Restore that run, or combine others."
        )
    return found


def parent_specs(run_dir: RunDir, combination: Combination) -> dict[str, RunSpec]:
    """Return the specifications of the runs that a run combined, by their ids.

    Raises:
        InputError: if one is missing.
    """
    specs = {}
    for parent in combination.parents:
        if parent.file is None:
            continue
        folder = Path(parent.file).parent.parent
        places = (RunDir(folder), RunDir(run_dir.path.parent / folder.name))
        found = next((each for each in places if each.spec.is_file()), None)
        if found is None:
            raise InputError(
                f"Run {parent.run_id}, which was combined, was deleted or moved, so the images "
                "that it held out are unknown."
            )
        specs[parent.run_id] = found.read_spec()
    return specs


def _no_checkpoint(run_dir: RunDir, path: Path) -> str:
    others = sorted(each.stem for each in run_dir.checkpoints.glob("*.safetensors"))
    if others:
        kept = ", ".join(others)
        step = (
            "Restore the file, or train again."
            if has_finished(run_dir)
            else "Wait until it has finished, or resume it."
        )
        return f"Run {run_dir.run_id} has no checkpoint {path.name}; it has {kept}. {step}"
    if run_dir.is_copy:
        reason = "it is a copy of a run on another machine. Use it there"
    elif not has_finished(run_dir):
        reason = "it has not saved a network yet. Wait until it has finished, or resume it"
    elif run_dir.read_spec().keep_checkpoints == "none":
        reason = "it did not keep them (--keep none). Use another run, or train again"
    else:
        reason = "they were deleted to free disk space. Use another run, or train again"
    return f"Run {run_dir.run_id} has no checkpoints: {reason}."


def has_finished(run_dir: RunDir) -> bool:
    """Return whether a run's last event is that it finished."""
    lines = run_dir.events.read_bytes().splitlines() if run_dir.events.is_file() else []
    with suppress(EventDecodeError, IndexError):
        return isinstance(decode_event(lines[-1]), RunFinished)
    return False


def classes_of(run_dir: RunDir, arm: str | None, at: At) -> tuple[str, ...]:
    """Return the classes of a run's network, without loading it.

    Raises:
        InputError: as :func:`load_classifier`.
    """
    with offering_other_step(run_dir):
        return _classes_of(run_dir, arm, at)


def _classes_of(run_dir: RunDir, arm: str | None, at: At) -> tuple[str, ...]:
    path, *_ = checkpoint_files(run_dir, arm, at)
    with refusing_damage(path), safe_open(path, framework="np") as file:
        named = (file.metadata() or {}).get("classes")
    with suppress(msgspec.DecodeError):
        if named is not None:
            return msgspec.json.decode(named, type=tuple[str, ...])
    return classes_in_log(run_dir)


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Raise CheckpointError if a checkpoint that is read in the block is damaged."""
    try:
        yield
    except (DamagedFileError, SafetensorError, OSError) as error:
        raise CheckpointError(
            f"The checkpoint {path} is damaged ({error}). Restore the file, or train again.", path
        ) from None


def classes_in_log(run_dir: RunDir) -> tuple[str, ...]:
    """Return the classes of a run whose checkpoints do not name them, as in older versions.

    Raises:
        InputError: if its log does not name them either.
    """
    for line in run_dir.events.read_bytes().splitlines() if run_dir.events.is_file() else ():
        with suppress(EventDecodeError):
            event = decode_event(line)
            if isinstance(event, DataPrepared):
                return tuple(event.classes)
    raise InputError(
        f"Run {run_dir.run_id} names its classes neither in its checkpoint nor in {run_dir.events}."
    )
