"""Precision and memory layout: measured on this machine for this network, not assumed.

Which is fastest depends on the processor and on the network: on one server processor bf16
with channels last was twice as fast as fp32 for a ResNet-50 and three times slower for a
ResNet-18. So ``auto`` times a few steps of each sensible choice, keeps the fastest whose loss
agrees with fp32's, and remembers it beside the image cache.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import msgspec
import torch
from torch import Tensor

from engine.errors import InputError
from engine.hardware import device_name, synchronize
from engine.protocol import RunSpec
from engine.rundir import write_atomic

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MEMORY_FORMATS: Final = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
LOSS_TOLERANCE: Final = 0.02
TIMED_STEPS: Final = 3
CLEARLY_SLOWER: Final = 1.5


@dataclass(frozen=True)
class Execution:
    """How tensors are computed with: device, precision (fp32, bf16, fp16), memory layout."""

    device: torch.device
    precision: str
    memory_format: str

    @property
    def needs_scaler(self) -> bool:
        """Say whether gradients must be scaled against underflow (fp16)."""
        return self.precision == "fp16"

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision])

    def lay_out(self, images: Tensor) -> Tensor:
        """Return images (B, 3, S, S) in the memory layout."""
        return images.contiguous(memory_format=MEMORY_FORMATS[self.memory_format])

    def prepare(self, module: torch.nn.Module) -> None:
        """Move a network to the device, in the memory layout."""
        module.to(self.device)
        module.to(memory_format=MEMORY_FORMATS[self.memory_format])


@dataclass(frozen=True)
class Choice:
    """The execution chosen and what was measured on the way: milliseconds per step."""

    execution: Execution
    step_ms: dict[str, float]


TrialStep = Callable[[Execution], float]
"""Run one training step that changes nothing lasting, and return its loss."""


def choose_execution(
    spec: RunSpec, device: torch.device, trial_step: TrialStep, memory: Path, network_key: str
) -> Choice:
    """Take the fastest precision and layout whose loss agrees with fp32's.

    Args:
        spec: what the user asked for; anything not ``auto`` is taken as given.
        device: where the run computes.
        trial_step: the step to time.
        memory: file that remembers what was measured before.
        network_key: what the measurement depends on besides the machine.

    Raises:
        InputError: when the precision asked for does not work on the device.
    """
    candidates = _candidates(spec, device)
    if len(candidates) == 1:
        _check_works(candidates[0], trial_step)
        return Choice(candidates[0], {})
    key = "|".join(
        (torch.__version__, device_name(device), str(torch.get_num_threads()), network_key,
         spec.precision, spec.memory_format)
    )  # fmt: skip
    remembered = _recall(memory)
    if key not in remembered:
        remembered = {**remembered, key: _measure(candidates, trial_step)}
        with contextlib.suppress(OSError):  # a memory that cannot be written costs seconds only
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(memory, msgspec.json.format(msgspec.json.encode(remembered)))
    step_ms = remembered[key]
    fastest = min(step_ms, key=lambda name: step_ms[name])
    precision, memory_format = fastest.split()
    return Choice(Execution(device, precision, memory_format), step_ms)


def _candidates(spec: RunSpec, device: torch.device) -> list[Execution]:
    formats = [spec.memory_format]
    if spec.memory_format == "auto":
        formats = ["contiguous", "channels_last"]
    precisions = [spec.precision]
    if spec.precision == "auto":
        precisions = ["fp32", "bf16"]
        if device.type == "mps" or (device.type == "cuda" and not torch.cuda.is_bf16_supported()):
            precisions = ["fp32", "fp16"]
    return [Execution(device, *choice) for choice in product(precisions, formats)]


def _check_works(execution: Execution, trial_step: TrialStep) -> None:
    if execution.precision == "fp32":
        return
    try:
        trial_step(execution)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"Precision {execution.precision} does not work on {execution.device} with this "
            f"network: {str(error).splitlines()[0]}. Choose --precision auto."
        ) from None


def _measure(candidates: list[Execution], trial_step: TrialStep) -> dict[str, float]:
    """Return the median milliseconds per step of each candidate that works and agrees."""
    reference_loss: float | None = None
    step_ms: dict[str, float] = {}
    for execution in candidates:
        try:
            loss, _ = _timed(execution, trial_step)  # also warms up
            if reference_loss is None:
                reference_loss = loss
            if not abs(loss - reference_loss) <= LOSS_TOLERANCE * abs(reference_loss):  # or NaN
                continue
            _, second_ms = _timed(execution, trial_step)
            times = [second_ms]
            if not step_ms or second_ms < CLEARLY_SLOWER * min(step_ms.values()):
                times += [_timed(execution, trial_step)[1] for _ in range(TIMED_STEPS - 1)]
        except RuntimeError:  # the device lacks this precision or layout
            if not step_ms and execution is candidates[-1]:
                raise
            continue
        step_ms[f"{execution.precision} {execution.memory_format}"] = statistics.median(times)
    return step_ms


def _timed(execution: Execution, trial_step: TrialStep) -> tuple[float, float]:
    synchronize(execution.device)
    start = time.perf_counter()
    loss = trial_step(execution)
    synchronize(execution.device)
    return loss, (time.perf_counter() - start) * 1000


def _recall(memory: Path) -> dict[str, dict[str, float]]:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=dict[str, dict[str, float]])
    except (OSError, msgspec.DecodeError):
        return {}
