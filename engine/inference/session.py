"""The use of one classifier by a request: on its device, calibrated if it can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import InputError, UserError
from engine.inference.calibration import calibrate
from engine.inference.classifier import load_classifier
from engine.inference.images import LogitsBatch, ReadContent, classify
from engine.machine.devices import describe_memory, is_out_of_memory, resolve_device
from engine.machine.processor import usable_cores
from engine.protocol.inference import UseOfRun
from engine.protocol.work import WorkNote
from engine.rundir import RunDir
from engine.rundir.checkpoints import offering_other_step
from engine.work import Reporter, progress_of


@contextmanager
def refusing_large_batches(device: torch.device, batch_size: int) -> Iterator[None]:
    """Raise InputError if a device has too little memory for a batch in the block."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"Out of memory on {device} with {batch_size} images per batch "
            f"({describe_memory(device)}). Use a smaller --batch."
        ) from None


class InferenceSession:
    """A classifier in use.

    Attributes:
        device: where it computes.
        classifier: loaded, and calibrated if requested and possible.
        temperature: logits are divided by it; 1: probabilities are not calibrated.
        is_calibrated: whether there is a temperature.

    Raises:
        InputError: if the classifier cannot be loaded.
    """

    def __init__(self, request: UseOfRun, report: Reporter) -> None:
        """Load the classifier; ``report`` takes progress, and a note if it is not calibrated."""
        if request.threads is not None:
            torch.set_num_threads(request.threads)
        self._threads = request.threads or usable_cores()
        self._batch_size = request.batch_size
        self.device = resolve_device(request.device)
        run_dir = RunDir(Path(request.run_dir))
        with offering_other_step(run_dir):
            self.classifier = load_classifier(
                run_dir, arm=request.arm, at=request.at, device=self.device
            )
        self.classifier.to(memory_format=torch.channels_last)
        if request.calibrates and self.classifier.calibration is None:
            progress = progress_of(report, "reading validation images", "images")
            try:
                calibrate(run_dir, self.classifier, at=request.at, on_progress=progress)
            except UserError as error:
                report(WorkNote(f"Probabilities are not calibrated. {error}"))
        found = self.classifier.calibration if request.calibrates else None
        self.is_calibrated = found is not None and found.temperature is not None
        self.temperature = self.classifier.temperature if self.is_calibrated else 1.0

    def logits(self, count: int, read: ReadContent) -> Iterator[LogitsBatch]:
        """Yield the logits of images, on the CPU; see :func:`engine.inference.images.classify`.

        Raises:
            InputError: if the device has too little memory, or a logit is not finite.
        """
        with refusing_large_batches(self.device, self._batch_size):
            for batch in classify(
                self.classifier, count, read, batch_size=self._batch_size, threads=self._threads
            ):
                if not batch.logits.isfinite().all():
                    raise InputError(
                        "The network's output is not finite (NaN or infinite), so it cannot be "
                        "used. Use another run, or another step (--at)."
                    )
                yield batch

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (B, C) of logits, calibrated if the session is."""
        return (logits / self.temperature).softmax(dim=1)
