"""A trained network, or several whose logits are averaged, as a module for images from anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from engine.data.transforms import network_input
from engine.datasets.cache import resize
from engine.datasets.folders import to_rgb
from engine.errors import InputError
from engine.model import FineTunedNetwork, NetworkCard, build_network
from engine.model.tensor_file import (
    DamagedFileError,
    digest_of,
    read_card,
    read_header,
    read_metadata,
    read_tensors,
)
from engine.protocol import (
    NETWORK_ARMS,
    CombinationSpec,
    DataPrepared,
    EventDecodeError,
    RunFinished,
    RunSpec,
    RunTask,
    decode_event,
    own_arm,
    spec_of,
)
from engine.protocol.inference import At, Calibration
from engine.rundir import RunDir
from engine.train.checkpoint import card_of, decode_state, network_prefix

LOADS: Final = 2
"""Times to load a network at most, if a run that is training replaces its checkpoint meanwhile."""


class Classifier(nn.Module):
    """A trained network in evaluation mode, or several whose logits are averaged.

    Attributes:
        classes: names, in the order of the logits.
        card: how the first network was built and trained.
        networks: the networks; their modules are this module's ``members``.
        arm: name of the arm, as in the run.
        calibration: from ID validation images; None: probabilities are not calibrated.
        checkpoint: digest of the checkpoints that it was loaded from; empty: of none.
        step: number of updates of the network; None: several networks were combined.
    """

    def __init__(
        self,
        networks: Sequence[FineTunedNetwork],
        card: NetworkCard,
        arm: str,
        calibration: Calibration | None = None,
        checkpoint: str = "",
        step: int | None = None,
    ) -> None:
        super().__init__()
        self.networks = tuple(networks)
        self.members = nn.ModuleList(network.module for network in networks)
        self.card = card
        self.arm = arm
        self.calibration = calibration
        self.checkpoint = checkpoint
        self.step = step
        self.eval()

    @property
    def temperature(self) -> float:
        """Return what logits are divided by for calibrated probabilities; 1: uncalibrated."""
        found = self.calibration.temperature if self.calibration is not None else None
        return 1.0 if found is None else found

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the logits."""
        return self.card.classes

    @property
    def image_size(self) -> int:
        """Return S, the side in pixels of the images that the networks read."""
        return self.card.image_size

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, C) float32 of images (B, 3, S, S), as :meth:`transform` makes them.

        They are not divided by the temperature.
        """
        logits: Tensor = torch.stack([member(images).float() for member in self.members]).mean(
            dim=0
        )
        return logits

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the calibrated probabilities (B, C) of images (B, 3, S, S)."""
        return (self.forward(images) / self.temperature).softmax(dim=1)

    def transform(self, image: Image.Image) -> Tensor:
        """Return an image as the networks read it, (3, S, S) float32, as in evaluations of the run.

        Raises:
            OSError: if it cannot be decoded, or has 32-bit pixels, whose range is unknown.
        """
        return self.normalise(torch.from_numpy(self.pixels(image))[None])[0]

    def pixels(self, image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """Return an image as RGB at S × S, (S, S, 3) uint8: squeezed, not cropped.

        Raises:
            OSError: as :meth:`transform`.
        """
        return np.array(resize(to_rgb(image), self.image_size))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return pixels (B, S, S, 3) uint8 as the networks read them, (B, 3, S, S) float32."""
        return network_input(pixels, self.card.mean, self.card.std)

    def folded(self, folds: bool = True) -> ExitStack:
        """Return a context for passes without gradients, faster by folded BatchNorm.

        The weights must not change in it; see :meth:`FineTunedNetwork.folded`.
        """
        with ExitStack() as stack, torch.no_grad():
            for network in self.networks:
                stack.enter_context(network.folded(folds))
            return stack.pop_all()


def load_classifier(
    run_dir: RunDir,
    *,
    arm: str | None = None,
    at: At = "best",
    device: torch.device | str = "cpu",
    calibrate: bool = True,
) -> Classifier:
    """Return the network of a run, from its checkpoints; the run's images are not needed.

    Args:
        run_dir: a run that trained or combined networks.
        arm: an arm with weights of its own, such as ``averaged``; None: the run's own network.
        at: the selected step, or the last one.
        device: where the network computes.
        calibrate: use the stored calibration, if there is one; see
            :func:`engine.inference.calibration.calibrate`, which computes it.

    Raises:
        InputError: if there is no such checkpoint, or it cannot be read.
    """
    files = checkpoint_files(run_dir, arm, at)
    task = run_dir.read_task()
    loaded, checkpoint, step = _load_unchanged(files, task, run_dir)
    (_, card), *_ = loaded
    arm = arm or own_arm(task)
    stored = run_dir.read_calibrations().get(calibration_key(arm, at)) if calibrate else None
    if stored is not None and stored.checkpoint != checkpoint:
        stored = None
    networks = [network for network, _ in loaded]
    return Classifier(networks, card, arm, stored, checkpoint, step).to(device)


def classes_of(run_dir: RunDir, arm: str | None, at: At) -> tuple[str, ...]:
    """Return the classes of a run's network, without loading it.

    Raises:
        InputError: as :func:`load_classifier`.
    """
    path, *_ = checkpoint_files(run_dir, arm, at)
    with _refusing_damage(path):
        card = read_card(read_metadata(path))
    return card.classes if card else _classes_in_log(run_dir)


def _step_of(path: Path) -> int:
    """Return the number of updates of the network in a checkpoint."""
    with _refusing_damage(path):
        return decode_state(read_header(path)[0]).step


def calibration_key(arm: str, at: At) -> str:
    """Return the key of a calibration in ``calibration.json``."""
    return f"{arm}/{at}"


def _digest_of(files: Sequence[Path]) -> str:
    """Return a text that changes with any of these checkpoints."""
    digests = []
    for file in files:
        with _refusing_damage(file):
            digests.append(digest_of(file))
    return "-".join(digests)


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
        raise InputError(_no_checkpoint(run_dir, path))
    return (path,)


def _checkpoint_of_arm(run_dir: RunDir, arm: str | None, at: At) -> str:
    """Return the name of the checkpoint of an additional arm."""
    task = run_dir.read_task()
    arms = (own_arm(task), *spec_of(task).arms)
    if arm not in arms:
        known = ", ".join(arms)
        raise InputError(f"Run {run_dir.run_id} has no arm {arm}; it has {known}.")
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


def _no_checkpoint(run_dir: RunDir, path: Path) -> str:
    others = sorted(each.stem for each in run_dir.checkpoints.glob("*.safetensors"))
    if others:
        kept = ", ".join(others)
        return f"Run {run_dir.run_id} has no checkpoint {path.name}; it has {kept}."
    if run_dir.is_copy:
        reason = "it is a copy of a run on another machine. Use it there"
    elif not _has_finished(run_dir):
        reason = "it has not saved a network yet. Wait until it has finished, or resume it"
    elif run_dir.read_spec().keep_checkpoints == "none":
        reason = "it did not keep them (--keep none). Use another run, or train again"
    else:
        reason = "they were deleted to free disk space. Use another run, or train again"
    return f"Run {run_dir.run_id} has no checkpoints: {reason}."


def _has_finished(run_dir: RunDir) -> bool:
    """Return whether a run's last event is that it finished."""
    lines = run_dir.events.read_bytes().splitlines() if run_dir.events.is_file() else []
    with suppress(EventDecodeError, IndexError):
        return isinstance(decode_event(lines[-1]), RunFinished)
    return False


def _load_unchanged(
    files: Sequence[Path], task: RunTask, run_dir: RunDir
) -> tuple[list[tuple[FineTunedNetwork, NetworkCard]], str, int | None]:
    """Return networks with cards, and the digest and step of exactly the files they come from.

    Raises:
        InputError: if one is damaged, or a run that is training replaced one each time.
    """
    for _ in range(LOADS):
        digest = _digest_of(files)
        loaded = [_load(file, spec_of(task), run_dir) for file in files]
        step = None if isinstance(task, CombinationSpec) else _step_of(files[0])
        if _digest_of(files) == digest:
            return loaded, digest, step
    raise InputError(
        f"The checkpoint of run {run_dir.run_id} was replaced each time it was read. Try again "
        "when the run has finished."
    )


def _load(path: Path, spec: RunSpec, run_dir: RunDir) -> tuple[FineTunedNetwork, NetworkCard]:
    """Return a trained network and its card."""
    with _refusing_damage(path):
        card = read_card(read_metadata(path))
        tensors = read_tensors(path, network_prefix(path))
    classes = card.classes if card else _classes_in_log(run_dir)
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


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Raise InputError if a checkpoint that is read in the block is damaged."""
    try:
        yield
    except (DamagedFileError, OSError) as error:
        raise InputError(
            f"The checkpoint {path} is damaged ({error}). Use another one (--at best or --at "
            "last), or another run."
        ) from None


def _classes_in_log(run_dir: RunDir) -> tuple[str, ...]:
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
