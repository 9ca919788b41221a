"""Loading and checking the networks to combine; no code in checkpoints is executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from engine.data import RunData
from engine.errors import DamagedFileError, InputError
from engine.model import FineTunedNetwork
from engine.model.tensor_file import (
    Shapes,
    read_header,
    read_tensors,
    under_prefix,
)
from engine.protocol import CombinationError, CombinationSpec, Parent, RunSpec, check_alike
from engine.protocol.combination import is_combined
from engine.rundir import RunDir
from engine.train.checkpoint import TrainingState, decode_state, network_prefix

_USE_ANOTHER: Final = (
    "Use the other checkpoint (--at best or --at last), restore the run, or run it again."
)


@dataclass(frozen=True)
class ParentRun:
    """A fine-tuned network to combine; its tensors are loaded on demand."""

    run_id: str
    file: Path
    spec: RunSpec
    state: TrainingState
    shapes: Shapes

    def weights(self) -> dict[str, Tensor]:
        """Read the network's tensors, by timm's names.

        Raises:
            InputError: if the checkpoint is damaged or cannot be read.
        """
        try:
            return read_tensors(self.file, network_prefix(self.file))
        except (DamagedFileError, OSError) as error:
            raise _unreadable(self.run_id, self.file, error) from None


def find_parents(run_id: str, task: CombinationSpec) -> tuple[ParentRun, ...]:
    """Return the runs to combine, after checking their checkpoints' headers.

    Raises:
        InputError: if a checkpoint is missing or damaged, or the runs cannot be combined.
    """
    parents = tuple(_find(parent) for parent in task.combination.parents if parent.file is not None)
    try:
        specs = {parent.run_id: parent.spec for parent in parents} | {run_id: task.spec}
        check_alike(specs, task.combination)
    except CombinationError as error:
        raise InputError(str(error)) from None
    return parents


def check_images(parents: Sequence[ParentRun], data: RunData) -> None:
    """Check that the parents were trained on these images.

    Raises:
        InputError: if not; names the run.
    """
    for parent in parents:
        if parent.state.data_digest != data.digest:
            raise InputError(
                f"Run {parent.run_id} was trained on other images than those now in "
                f"{data.image_set.location}. Combine runs that were trained on the same images."
            )


def check_shapes(parents: Sequence[ParentRun], network: FineTunedNetwork, model: str) -> None:
    """Check that the parents' tensors match the network's.

    Raises:
        InputError: if not; names the run, its file and a tensor.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.module.state_dict().items()}
    for parent in parents:
        for name in sorted(expected.keys() | parent.shapes.keys()):
            ours, theirs = expected.get(name), parent.shapes.get(name)
            if ours != theirs:
                raise InputError(
                    f"The checkpoint {parent.file} of run {parent.run_id} does not match the "
                    f"network {model}: {name} has shape {theirs or 'none'}, not {ours or 'none'}."
                )


def check_weights_file(parent: ParentRun, network: FineTunedNetwork) -> None:
    """Check that the weight file is the one that the run started from.

    Raises:
        InputError: if not; names the file.
    """
    then, now = parent.state.loaded, network.loaded
    if then is not None and now is not None and then.sha256 != now.sha256:
        raise InputError(
            f"The weight file {now.file} has changed since run {parent.run_id} started from it. "
            "Restore the file, or combine the runs without it: vld combine soup."
        )


def _find(parent: Parent) -> ParentRun:
    if parent.file is None:
        raise AssertionError("only a run has a checkpoint")
    path = Path(parent.file)
    run_dir = RunDir(path.parent.parent)
    if not path.is_file():
        raise InputError(
            f"Run {parent.run_id} has no checkpoint {path}: it was not saved or was deleted, or "
            f"the run is in the trash. {_USE_ANOTHER}"
        )
    task = run_dir.read_task()
    if isinstance(task, CombinationSpec):
        raise InputError(is_combined(parent.run_id))
    try:
        header, shapes = read_header(path)
        state = decode_state(header)
    except (DamagedFileError, OSError) as error:
        raise _unreadable(parent.run_id, path, error) from None
    shapes = under_prefix(network_prefix(path), shapes)
    return ParentRun(parent.run_id, path, task, state, shapes)


def _unreadable(run_id: str, path: Path, error: Exception) -> InputError:
    return InputError(f"The checkpoint {path} of run {run_id} is damaged ({error}). {_USE_ANOTHER}")
