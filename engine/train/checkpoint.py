"""Checkpoints: safetensors files whose header carries the rest of the state as JSON.

One file holds everything, so a checkpoint is either whole or not there. ``last`` has what a
resumed run needs to go on bit for bit; ``best`` is an ordinary timm network at the selected
step, under timm's own tensor names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import TrainingError

NETWORK = "network."
OPTIMIZER = "optimizer."
RANDOM = "random."
OBJECTIVE = "objective."
ARMS = "arms."
STATE_KEY = "vld_state"
"""Key of the JSON state in the header of a checkpoint."""


class Selected(msgspec.Struct, frozen=True):
    """The step with the best ID validation accuracy so far, and its accuracies (0 to 1)."""

    step: int
    id_accuracy: float
    ood_accuracy: float


class TrainingState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands after ``step`` updates, besides its tensors.

    ``evaluation_s`` is how long the next evaluation will take. ``loss_sum`` and ``loss_count``
    belong to the reading not yet reported; ``elapsed_s`` counts
    all attempts. Precision and layout are kept so that a resumed run computes alike, and
    ``data_digest`` so that it does so on the same images.
    """

    step: int = 0
    elapsed_s: float = 0.0
    evaluation_s: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    selected: Selected | None = None
    selected_of_arms: dict[str, Selected] = {}
    collapsed: bool = False
    feature_rms: float
    data_digest: str
    precision: str
    memory_format: str
    scaler: dict[str, int | float] = {}


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
) -> int:
    """Write everything a resumed run needs, and return the file's bytes.

    ``beside`` are tensors of objective and arms, under the names they shall have.

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
    return _write(path, tensors, state)


def save_network(path: Path, state: TrainingState, module: torch.nn.Module) -> int:
    """Write the network alone, and return the file's bytes.

    Raises:
        OSError: when it cannot be written; the checkpoint before it is then untouched.
    """
    return _write(path, dict(module.state_dict()), state)


def load_last(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None when there is none.

    Raises:
        TrainingError: when it is damaged: a run never silently starts again.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = msgspec.json.decode(header[STATE_KEY], type=TrainingState)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, OSError, msgspec.DecodeError) as error:
        raise TrainingError(
            f"The checkpoint {path} is damaged ({error}); the run cannot be resumed from it. "
            "Remove that file to start the run from its beginning."
        ) from None
    return Checkpoint(state, tensors)


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


def _write(path: Path, tensors: Mapping[str, Tensor], state: TrainingState) -> int:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        metadata = {"format": "pt", STATE_KEY: msgspec.json.encode(state).decode()}
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        save_file(contiguous, temporary, metadata=metadata)
        temporary.chmod(mode)  # safetensors lets nobody else read, whatever the umask says
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        size = temporary.stat().st_size
        temporary.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path} could not be written: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return size
