"""Checkpoints: files of tensors whose header carries the rest of the state as JSON.

One file holds everything, so a checkpoint is either whole or not there. ``last`` has what a
resumed run needs to go on bit for bit; ``best`` is an ordinary timm network at the selected
step, under timm's own tensor names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import torch
from torch import Tensor

from engine.data import RunData
from engine.errors import TrainingError
from engine.evaluate import Evaluation
from engine.model import NETWORK, FineTunedNetwork, NetworkCard, creation_options
from engine.model.tensor_file import DamagedFileError, read_header, read_tensors, write_tensors
from engine.protocol import CheckpointSaved, LoadedWeights, RunSpec, trial_seed
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog

OPTIMIZER = "optimizer."
RANDOM = "random."
OBJECTIVE = "objective."
ARMS = "arms."


class Selected(msgspec.Struct, frozen=True):
    """The step with the best ID validation accuracy so far, and its accuracies (0 to 1).

    ``ood_accuracy`` is None without a target, ``plain_id_accuracy`` where validation images are
    not augmented.
    """

    step: int
    id_accuracy: float
    ood_accuracy: float | None
    plain_id_accuracy: float | None = None

    @classmethod
    def of(cls, step: int, evaluation: Evaluation) -> Selected:
        """Return a step as its evaluation judges it."""
        return cls(
            step, evaluation.id_accuracy, evaluation.ood_accuracy, evaluation.plain_id_accuracy
        )


class TrainingState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands after ``step`` updates, besides its tensors.

    ``collapsed`` is of the last evaluation; ``has_learned``: an evaluation before it knew more
    than how frequent each class is.

    ``evaluation_s`` is how long the next evaluation will take. ``loss_sum`` and ``loss_count``
    belong to the reading not yet reported; ``elapsed_s`` counts
    all attempts. Precision and layout are kept so that a resumed run computes alike, and
    ``data_digest`` so that it does so on the same images. ``loaded`` is what was taken from a file
    of weights, which a resumed run does not read again.
    """

    step: int = 0
    elapsed_s: float = 0.0
    evaluation_s: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    selected: Selected | None = None
    selected_of_arms: dict[str, Selected] = {}
    collapsed: bool = False
    has_learned: bool = False
    feature_rms: float
    data_digest: str
    precision: str
    memory_format: str
    scaler: dict[str, int | float] = {}
    loaded: LoadedWeights | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """A ``last`` checkpoint in memory."""

    state: TrainingState
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose name starts with ``prefix``, without it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def save_last(
    path: Path,
    state: TrainingState,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    generators: Mapping[str, torch.Generator],
    beside: Mapping[str, Tensor] = MappingProxyType({}),
    card: NetworkCard | None = None,
) -> int:
    """Write everything a resumed run needs, and return the file's bytes.

    ``beside`` are tensors of objective and arms, under the names they shall have. ``card`` says
    how to use the network.

    Raises:
        OSError: when it cannot be written; the checkpoint before it is then untouched.
    """
    tensors = dict(beside)
    tensors |= {NETWORK + name: tensor for name, tensor in module.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{OPTIMIZER}{index}.{key}"] = value
    for name, generator in generators.items():
        tensors[RANDOM + name] = generator.get_state()
    return write_tensors(path, tensors, msgspec.json.encode(state), _about(card))


def save_network(
    path: Path, state: TrainingState, module: torch.nn.Module, card: NetworkCard | None = None
) -> int:
    """Write the network alone, with how to use it, and return the file's bytes.

    Raises:
        OSError: when it cannot be written; the checkpoint before it is then untouched.
    """
    return write_tensors(path, module.state_dict(), msgspec.json.encode(state), _about(card))


def _about(card: NetworkCard | None) -> dict[str, str]:
    return {} if card is None else card.as_header()


def card_of(
    network: FineTunedNetwork, spec: RunSpec, data: RunData, run_dir: RunDir
) -> NetworkCard:
    """Return what a file of a run's network says of it."""
    options = creation_options(spec.model, spec.image_size)
    return NetworkCard(
        model=spec.model,
        model_args={"num_classes": len(data.classes), **options},
        classes=data.classes,
        image_size=spec.image_size,
        mean=tuple(network.mean),
        std=tuple(network.std),
        tuning=spec.tuning,
        linear_start=spec.linear_start if spec.tuning == "linear" else None,
        dataset=data.name,
        target=data.target.name if data.target else None,
        held_out_source=spec.held_out_source,
        split_seed=trial_seed(spec),
        validation_fraction=spec.validation_fraction,
        run=run_dir.run_id,
    )


class CheckpointFiles:
    """The checkpoint files of a run, and the events that report them.

    Attributes:
        kept_step: updates of the ``last`` checkpoint on disk; None: there is none.
    """

    def __init__(
        self, spec: RunSpec, data: RunData, run_dir: RunDir, log: EventLog, *, start_step: int = 0,
        writes: bool = True,
    ) -> None:  # fmt: skip
        """Look for a checkpoint of ``start_step`` updates; ``writes``: this process does."""
        self._spec, self._data, self._run_dir, self._log = spec, data, run_dir, log
        self._writes = writes
        self.kept_step = start_step if run_dir.last_checkpoint.exists() else None

    def save_network(self, kind: str, state: TrainingState, network: FineTunedNetwork) -> None:
        """Save a network alone, ``best`` or an arm's, unless the run is to leave none.

        Raises:
            OSError: when it cannot be written; the checkpoint before it is then untouched.
        """
        if not self._writes or self._spec.keep_checkpoints == "none":
            return
        path = self._run_dir.checkpoints / f"{kind}.safetensors"
        self._record(kind, state, save_network(path, state, network.module, self._card(network)))

    def save_last(
        self,
        state: TrainingState,
        network: FineTunedNetwork,
        optimizer: torch.optim.Optimizer,
        generators: Mapping[str, torch.Generator],
        beside: Mapping[str, Tensor],
    ) -> None:
        """Save what a resumed run needs: see :func:`save_last`.

        Raises:
            OSError: when it cannot be written; the checkpoint before it is then untouched.
        """
        if not self._writes:
            return
        self._log.sync()  # a resumed run does not repeat the events before its checkpoint
        path, card = self._run_dir.last_checkpoint, self._card(network)
        size = save_last(path, state, network.module, optimizer, generators, beside, card)
        self._record("last", state, size)
        self.kept_step = state.step

    def _card(self, network: FineTunedNetwork) -> NetworkCard:
        return card_of(network, self._spec, self._data, self._run_dir)

    def _record(self, kind: str, state: TrainingState, size: int) -> None:
        file = f"checkpoints/{kind}.safetensors"
        self._log.record(CheckpointSaved(step=state.step, kind=kind, file=file, bytes=size))


def load_last(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None when there is none.

    Raises:
        TrainingError: when it is damaged: a run never silently starts again.
    """
    if not path.exists():
        return None
    try:
        tensors = read_tensors(path)
        state = decode_state(read_header(path)[0])
    except (DamagedFileError, OSError) as error:
        raise TrainingError(
            f"The checkpoint {path} is damaged ({error}); the run cannot be resumed from it. "
            "Remove that file to start the run from its beginning."
        ) from None
    return Checkpoint(state, tensors)


def decode_state(data: bytes) -> TrainingState:
    """Read the state in a checkpoint's header.

    Raises:
        DamagedFileError: when it is not one.
    """
    try:
        return msgspec.json.decode(data, type=TrainingState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedFileError(str(error)) from None


def restore(
    checkpoint: Checkpoint,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    generators: Mapping[str, torch.Generator],
) -> None:
    """Put a checkpoint's tensors back where they came from."""
    module.load_state_dict(checkpoint.part(NETWORK))
    optimizer_state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in checkpoint.part(OPTIMIZER).items():
        index, key = name.split(".", 1)
        optimizer_state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": optimizer_state})
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # As the parameter lies in memory: fused updates refuse anything else.
                values[key] = torch.empty_like(parameter).copy_(value)
    for name, state in checkpoint.part(RANDOM).items():
        generators[name].set_state(state)
    if scaler.is_enabled():
        scaler.load_state_dict(checkpoint.state.scaler)
