"""Checkpoints: files of tensors with the remaining state as JSON in the header.

``last`` contains everything that a resumed run needs to continue bit-identically; ``best`` is a
plain timm network at the selected step, with timm's tensor names.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec
import timm
import torch
from torch import Tensor

from engine.data import RunData
from engine.errors import DamagedFileError, InputError, TrainingError
from engine.evaluate import Evaluation
from engine.execution import Execution
from engine.model import NETWORK, FineTunedNetwork, NetworkCard, build_network, creation_options
from engine.model.tensor_file import (
    read_card,
    read_header,
    read_metadata,
    read_tensors,
    under_prefix,
    write_tensors,
)
from engine.protocol import NO_TARGET, CheckpointSaved, LoadedWeights, RunSpec, trial_seed
from engine.ranks import ALONE, Ranks
from engine.rundir import RunDir
from engine.rundir.checkpoints import classes_in_log, refusing_damage
from engine.rundir.phases import Phases

OPTIMIZER = "optimizer."
RANDOM = "random."
OBJECTIVE = "objective."
ZEROS = "zeros."
MASK_BASIS = "mask_basis."
ARMS = "arms."
ABSTENTION = "abstention."
"""Prefix of the class "abstain" in the state of an objective."""


class Selected(msgspec.Struct, frozen=True):
    """The best step on ID validation so far, and its accuracies (0 to 1).

    ``ood_accuracy`` is None without a target, ``plain_id_accuracy`` if validation images are not
    augmented, ``selection_score`` if ``id_accuracy`` selects.
    """

    step: int
    id_accuracy: float
    ood_accuracy: float | None
    plain_id_accuracy: float | None = None
    selection_score: float | None = None

    @classmethod
    def of(cls, step: int, evaluation: Evaluation) -> Selected:
        """Return a step with the accuracies of its evaluation."""
        return cls(
            step, evaluation.id_accuracy, evaluation.ood_accuracy, evaluation.plain_id_accuracy,
            evaluation.selection_score,
        )  # fmt: skip


class TrainingState(msgspec.Struct, frozen=True, kw_only=True):
    """A run's state after ``step`` updates, except its tensors.

    ``collapsed`` is of the last evaluation; ``has_learned``: an earlier evaluation was better than
    predicting the class frequencies. ``evaluation_s`` is the expected duration of the next
    evaluation. ``loss_sum`` and ``loss_count`` are of the losses not yet logged; ``elapsed_s``
    counts all attempts. Precision, memory format, folding of BatchNorm (false in older checkpoints)
    and the digests ensure that a resumed run computes the same. ``loaded`` describes the weight
    file, which a resumed run does not read again; ``sparsity`` is as in :class:`ModelPrepared`.
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
    folds_training: bool = False
    folds_inference: bool = False
    scaler: dict[str, int | float] = {}
    loaded: LoadedWeights | None = None
    sparsity: float | None = None
    outliers_digest: str = ""

    def execution(self, device: torch.device, ranks: Ranks = ALONE) -> Execution:
        """Return how the run computes, on a device and with ranks that may be others."""
        return Execution(
            device, self.precision, self.memory_format, ranks,
            self.folds_training, self.folds_inference,
        )  # fmt: skip


class Checkpoint(msgspec.Struct, frozen=True):
    """A ``last`` checkpoint in memory."""

    state: TrainingState
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with ``prefix``, with it removed."""
        return under_prefix(prefix, self.tensors)


def save_last(
    path: Path,
    state: TrainingState,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    generators: Mapping[str, torch.Generator],
    others: Mapping[str, Tensor] = MappingProxyType({}),
    card: NetworkCard | None = None,
) -> int:
    """Write everything a resumed run needs; return the file's size in bytes.

    ``others`` are the tensors of objective and arms. ``card`` describes the network.

    Raises:
        OSError: if it cannot be written; the previous checkpoint is then unchanged.
    """
    tensors = dict(others)
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
    """Write only the network and its card; return the file's size in bytes.

    Raises:
        OSError: if it cannot be written; the previous checkpoint is then unchanged.
    """
    return write_tensors(path, module.state_dict(), msgspec.json.encode(state), _about(card))


def _about(card: NetworkCard | None) -> dict[str, str]:
    return {} if card is None else card.as_header()


def card_of(
    network: FineTunedNetwork, spec: RunSpec, classes: Sequence[str], run_id: str
) -> NetworkCard:
    """Return the model card of a run's network."""
    options = creation_options(spec.model, spec.image_size)
    return NetworkCard(
        model=spec.model,
        model_args={"num_classes": len(classes), **options},
        classes=tuple(classes),
        image_size=spec.image_size,
        mean=tuple(network.mean),
        std=tuple(network.std),
        tuning=spec.tuning,
        linear_start=spec.linear_start if spec.tuning == "linear" else None,
        linear_features=spec.linear_features if spec.tuning == "linear" else None,
        dataset=spec.dataset,
        target=spec.target if spec.target != NO_TARGET else None,
        held_out_source=spec.held_out_source,
        split_seed=trial_seed(spec),
        validation_fraction=spec.validation_fraction,
        run=run_id,
    )


def network_prefix(path: Path) -> str:
    """Return the prefix of the network's tensors in a checkpoint."""
    return NETWORK if path == RunDir(path.parent.parent).last_checkpoint else ""


def load_network(
    path: Path, spec: RunSpec, run_dir: RunDir
) -> tuple[FineTunedNetwork, NetworkCard]:
    """Return the trained network in a checkpoint of a run, on the CPU, and its card.

    Raises:
        InputError: if the checkpoint is damaged, or does not fit the network.
    """
    with refusing_damage(path):
        card = read_card(read_metadata(path))
        tensors = read_tensors(path, network_prefix(path))
    classes = card.classes if card else classes_in_log(run_dir)
    network = build_network(
        spec.model,
        classes=len(classes),
        weights="none",
        image_size=spec.image_size,
        seed=0,
        tuning=spec.tuning,
        linear_start=spec.linear_start,
        linear_features=spec.linear_features,
        for_inference=True,
    )
    try:
        network.module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"The checkpoint {path} does not fit the network {spec.model} of timm "
            f"{timm.__version__}. It may have been trained with another version: {reason}"
        ) from None
    return network, card or card_of(network, spec, classes, run_dir.run_id)


class CheckpointFiles:
    """The checkpoint files of a run, and the events that report them.

    Attributes:
        kept_step: step of the ``last`` checkpoint on disk, if there is one.
    """

    def __init__(
        self, spec: RunSpec, data: RunData, run_dir: RunDir, phases: Phases, *, start_step: int = 0,
        writes: bool = True,
    ) -> None:  # fmt: skip
        """``start_step``: step of an existing checkpoint; ``writes``: this process writes files."""
        self._spec, self._data, self._run_dir, self._phases = spec, data, run_dir, phases
        self._writes = writes
        self._saved_at = -math.inf
        self.kept_step = start_step if run_dir.last_checkpoint.exists() else None

    def save_network(self, kind: str, state: TrainingState, network: FineTunedNetwork) -> None:
        """Save a network, ``best`` or an arm's, unless the run keeps and reads no checkpoints.

        Raises:
            OSError: if it cannot be written; the previous checkpoint is then unchanged.
        """
        if not self._writes_network(kind):
            return
        path = self._run_dir.checkpoints / f"{kind}.safetensors"
        with self._phases.begin("saving_checkpoint"):
            size = save_network(path, state, network.module, self._card(network))
        self._record(kind, state, size)

    def save_abstention(self, state: TrainingState, objective: torch.nn.Module) -> None:
        """Save the row of the class "abstain" of an objective that has one.

        Raises:
            OSError: if it cannot be written; the previous file is then unchanged.
        """
        tensors = under_prefix(ABSTENTION, objective.state_dict())
        if tensors and self._writes_network("best"):
            write_tensors(self._run_dir.abstention, tensors, msgspec.json.encode(state), {})

    def save_last(
        self,
        state: TrainingState,
        network: FineTunedNetwork,
        optimizer: torch.optim.Optimizer,
        generators: Mapping[str, torch.Generator],
        others: Mapping[str, Tensor],
    ) -> None:
        """Save everything a resumed run needs, see :func:`save_last`.

        Raises:
            OSError: if it cannot be written; the previous checkpoint is then unchanged.
        """
        if not self._writes:
            return
        path, card = self._run_dir.last_checkpoint, self._card(network)
        with self._phases.begin("saving_checkpoint"):
            self._phases.log.sync()  # a resumed run does not record earlier events again
            size = save_last(path, state, network.module, optimizer, generators, others, card)
        self._record("last", state, size)
        self.kept_step = state.step
        self._saved_at = time.monotonic()

    @property
    def age_s(self) -> float:
        """Return the seconds since this attempt saved ``last``; infinity: it has not yet."""
        return time.monotonic() - self._saved_at

    def _writes_network(self, kind: str) -> bool:
        is_read = kind == "best" and bool(self._spec.diagnose)
        return self._writes and (self._spec.keep_checkpoints != "none" or is_read)

    def _card(self, network: FineTunedNetwork) -> NetworkCard:
        return card_of(network, self._spec, self._data.classes, self._run_dir.run_id)

    def _record(self, kind: str, state: TrainingState, size: int) -> None:
        file = f"checkpoints/{kind}.safetensors"
        self._phases.record(CheckpointSaved(step=state.step, kind=kind, file=file, bytes=size))


def load_last(path: Path) -> Checkpoint | None:
    """Read a checkpoint; return None if there is none.

    Raises:
        TrainingError: if it is damaged; a run never restarts silently.
    """
    if not path.exists():
        return None
    try:
        tensors = read_tensors(path)
        state = decode_state(read_header(path)[0])
    except (DamagedFileError, OSError) as error:
        raise TrainingError(
            f"The checkpoint {path} is damaged ({error}), so the run cannot be resumed. Delete the "
            "file to restart the run from the beginning."
        ) from None
    return Checkpoint(state, tensors)


def read_abstention(run_dir: RunDir, step: int | None) -> dict[str, Tensor] | None:
    """Return ``weight`` (1, D) and ``bias`` (1,) of the class "abstain" of a run's network.

    None if the run has no such class, or kept that of another step than the network's.

    Raises:
        InputError: if the file is damaged.
    """
    path = run_dir.abstention
    if not path.exists():
        return None
    try:
        is_of_step = decode_state(read_header(path)[0]).step == step
        return read_tensors(path) if is_of_step else None
    except (DamagedFileError, OSError) as error:
        raise InputError(
            f"The file {path} is damaged ({error}). Restore it, or delete it to do without the OOD "
            "score of abstention."
        ) from None


def decode_state(data: bytes) -> TrainingState:
    """Read the state in a checkpoint's header.

    Raises:
        DamagedFileError: if it is invalid.
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
    """Restore network, optimizer, scaler and generators from a checkpoint."""
    module.load_state_dict(checkpoint.part(NETWORK))
    optimizer_state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in checkpoint.part(OPTIMIZER).items():
        index, key = name.split(".", 1)
        optimizer_state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": optimizer_state})
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # In the parameter's memory format, which fused updates require.
                values[key] = torch.empty_like(parameter).copy_(value)
    for name, state in checkpoint.part(RANDOM).items():
        generators[name].set_state(state)
    if scaler.is_enabled():
        scaler.load_state_dict(checkpoint.state.scaler)
