"""The networks to combine: found, read without executing code, and refused where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from engine.data import RunData
from engine.errors import InputError
from engine.model import NETWORK, FineTunedNetwork
from engine.model.tensor_file import DamagedFileError, Shapes, read_header, read_tensors
from engine.protocol import Combination, CombinationError, Parent, RunSpec, check_alike
from engine.rundir import RunDir
from engine.train.checkpoint import TrainingState, decode_state


@dataclass(frozen=True)
class ParentRun:
    """A fine-tuned network to combine. Its tensors stay on disk until they are asked for."""

    run_id: str
    file: Path
    spec: RunSpec
    state: TrainingState
    shapes: Shapes

    def weights(self) -> dict[str, Tensor]:
        """Read the network's tensors, by timm's names.

        Raises:
            InputError: when the checkpoint is damaged, or can no longer be read.
        """
        prefix = _prefix(self.file)
        try:
            return read_tensors(self.file, prefix)
        except (DamagedFileError, OSError) as error:
            raise _unreadable(self.run_id, self.file, error) from None


def find_parents(run_id: str, spec: RunSpec, combination: Combination) -> tuple[ParentRun, ...]:
    """Return the runs whose networks a run combines, having looked at their checkpoints.

    Raises:
        InputError: for a checkpoint that is missing or damaged, or runs that cannot be combined.
    """
    parents = tuple(_find(parent) for parent in combination.parents if parent.file is not None)
    try:
        check_alike({parent.run_id: parent.spec for parent in parents} | {run_id: spec})
    except CombinationError as error:
        raise InputError(str(error)) from None
    return parents


def check_images(parents: Sequence[ParentRun], data: RunData) -> None:
    """Refuse parents that were trained on other images than these.

    Raises:
        InputError: naming the run.
    """
    for parent in parents:
        if parent.state.data_digest != data.digest:
            raise InputError(
                f"The images in {data.image_set.location} are not those run {parent.run_id} was "
                "trained on: some were added, removed or changed, and with them the classes or "
                "which images are held out. Combine runs on the same images."
            )


def check_shapes(parents: Sequence[ParentRun], network: FineTunedNetwork, model: str) -> None:
    """Refuse parents whose tensors are not those of the network.

    Raises:
        InputError: naming the run, its file and a tensor.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.module.state_dict().items()}
    for parent in parents:
        for name in sorted(expected.keys() | parent.shapes.keys()):
            ours, theirs = expected.get(name), parent.shapes.get(name)
            if ours != theirs:
                raise InputError(
                    f"The checkpoint {parent.file} of run {parent.run_id} does not hold the "
                    f"network {model}: {name} has shape {theirs or 'none'}, not {ours or 'none'}."
                )


def check_weights_file(parent: ParentRun, network: FineTunedNetwork) -> None:
    """Refuse a file of weights other than the one the run started from, as it recorded it.

    Raises:
        InputError: naming the file.
    """
    then, now = parent.state.loaded, network.loaded
    if then is not None and now is not None and then.sha256 != now.sha256:
        raise InputError(
            f"The weights in {now.file} are not those run {parent.run_id} started from: the file "
            "has changed. Put the file back, or name a run in place of 'pretrained'."
        )


def _find(parent: Parent) -> ParentRun:
    if parent.file is None:
        raise AssertionError("only a run has a checkpoint")
    path = Path(parent.file)
    run_dir = RunDir(path.parent.parent)
    if not path.is_file():
        raise InputError(
            f"Run {parent.run_id} has no checkpoint {path}: it was never saved, or pruned, or the "
            "run is in the trash. Name the other one with --at best or --at last, restore the "
            "run, or run it again."
        )
    if run_dir.read_combination() is not None:
        raise InputError(f"Run {parent.run_id} combines other runs: name those instead.")
    prefix = _prefix(path)
    try:
        header, shapes = read_header(path)
        state = decode_state(header)
    except (DamagedFileError, OSError) as error:
        raise _unreadable(parent.run_id, path, error) from None
    shapes = {
        name.removeprefix(prefix): shape
        for name, shape in shapes.items()
        if name.startswith(prefix)
    }
    return ParentRun(parent.run_id, path, run_dir.read_spec(), state, shapes)


def _prefix(path: Path) -> str:
    """Return what stands before the names of the network's tensors in a checkpoint."""
    return NETWORK if path == RunDir(path.parent.parent).last_checkpoint else ""


def _unreadable(run_id: str, path: Path, error: Exception) -> InputError:
    return InputError(
        f"The checkpoint {path} of run {run_id} is damaged ({error}). Name the other one with "
        "--at best or --at last, leave the run out, or run it again."
    )
