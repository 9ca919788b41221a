"""A trained network, or several whose logits are averaged, as a module for images from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from engine.data.transforms import network_input
from engine.datasets.cache import resize
from engine.datasets.folders import to_rgb
from engine.errors import InputError
from engine.model import FineTunedNetwork, NetworkCard
from engine.model.tensor_file import digest_of, read_header
from engine.protocol import (
    CombinationSpec,
    RunTask,
    own_arm,
    spec_of,
)
from engine.protocol.inference import At, Calibration
from engine.rundir import RunDir
from engine.rundir.checkpoints import checkpoint_files, refusing_damage
from engine.train.checkpoint import decode_state, load_network

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


def _step_of(path: Path) -> int:
    """Return the number of updates of the network in a checkpoint."""
    with refusing_damage(path):
        return decode_state(read_header(path)[0]).step


def digest_of_data(path: Path) -> str:
    """Return the digest of the images that a checkpoint was trained on.

    Raises:
        InputError: if it is damaged.
    """
    with refusing_damage(path):
        return decode_state(read_header(path)[0]).data_digest


def calibration_key(arm: str, at: At) -> str:
    """Return the key of a calibration in ``calibration.json``."""
    return f"{arm}/{at}"


def checkpoint_digest(run_dir: RunDir) -> str:
    """Return :attr:`Classifier.checkpoint` of the run's own network, without loading it.

    Raises:
        InputError: if there is no such checkpoint, or it is damaged.
    """
    return _digest_of(checkpoint_files(run_dir, None, "best"))


def _digest_of(files: Sequence[Path]) -> str:
    """Return a text that changes with any of these checkpoints."""
    digests = []
    for file in files:
        with refusing_damage(file):
            digests.append(digest_of(file))
    return "-".join(digests)


def _load_unchanged(
    files: Sequence[Path], task: RunTask, run_dir: RunDir
) -> tuple[list[tuple[FineTunedNetwork, NetworkCard]], str, int | None]:
    """Return networks with cards, and the digest and step of exactly the files they come from.

    Raises:
        InputError: if one is damaged, or a run that is training replaced one each time.
    """
    for _ in range(LOADS):
        digest = _digest_of(files)
        loaded = [load_network(file, spec_of(task), run_dir) for file in files]
        step = None if isinstance(task, CombinationSpec) else _step_of(files[0])
        if _digest_of(files) == digest:
            return loaded, digest, step
    raise InputError(
        f"The checkpoint of run {run_dir.run_id} was replaced each time it was read. Try again "
        "when the run has finished."
    )
