"""Precision and memory layout: measured on this machine for this network, not assumed.

Which is fastest depends on the processor and on the network: on one server processor bf16
with channels last was twice as fast as fp32 for a ResNet-50 and three times slower for a
ResNet-18. So ``auto`` times a few steps of each sensible choice, keeps the fastest whose loss
agrees with fp32's, and remembers it beside the image cache.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import msgspec
import torch
from torch import Tensor

from engine.distributed.ranks import ALONE, Ranks
from engine.errors import InputError
from engine.hardware import device_name, synchronize
from engine.memory import is_out_of_memory
from engine.protocol import RunSpec
from engine.rundir import write_atomic

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MEMORY_FORMATS: Final = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
LOSS_TOLERANCE: Final = 0.02
TIMED_ROUNDS: Final = 2
CLEARLY_SLOWER: Final = 1.5


@dataclass(frozen=True)
class Execution:
    """How tensors are computed with: device, precision (fp32, bf16, fp16), memory layout.

    ``ranks`` are the processes that share the work.
    """

    device: torch.device
    precision: str
    memory_format: str
    ranks: Ranks = ALONE

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
        if device.type == "mps" or (device.type == "cuda" and not _computes_bf16()):
            precisions = ["fp32", "fp16"]
    return [Execution(device, *choice) for choice in product(precisions, formats)]


def _check_works(execution: Execution, trial_step: TrialStep) -> None:
    if execution.precision == "fp32":
        return
    try:
        trial_step(execution)
    except (RuntimeError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"Precision {execution.precision} does not work on {execution.device} with this "
            f"network: {str(error).splitlines()[0]}. Choose --precision auto."
        ) from None


def _computes_bf16() -> bool:
    """Say whether the GPU computes bf16 itself, not by emulation."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _measure(candidates: list[Execution], trial_step: TrialStep) -> dict[str, float]:
    """Return the least milliseconds per step of each candidate that works and agrees.

    Candidates take turns, so that other work on the machine slows them alike, and the least
    time is the one other work disturbed least.
    """
    agreeing = _agreeing(candidates, trial_step)
    if not agreeing:
        raise InputError(
            "The network's loss is not finite before any training: look at its --weights."
        )
    times = {execution: [_timed(execution, trial_step)] for execution in agreeing}
    fastest = min(first for [first] in times.values())
    contenders = [each for each, [first] in times.items() if first < CLEARLY_SLOWER * fastest]
    for _ in range(TIMED_ROUNDS if len(contenders) > 1 else 0):
        for execution in contenders:
            times[execution].append(_timed(execution, trial_step))
    return {f"{each.precision} {each.memory_format}": min(ms) for each, ms in times.items()}


def _agreeing(candidates: list[Execution], trial_step: TrialStep) -> list[Execution]:
    """Return the candidates that work and whose loss is that of the first, fp32; warm them up."""
    agreeing: list[Execution] = []
    reference_loss = 0.0
    for execution in candidates:
        try:
            loss = trial_step(execution)
        except RuntimeError:  # the device lacks this precision or layout
            if execution is candidates[0]:
                raise
            continue
        if not agreeing:
            reference_loss = loss
        if abs(loss - reference_loss) <= LOSS_TOLERANCE * abs(reference_loss):  # not NaN either
            agreeing.append(execution)
    return agreeing


def _timed(execution: Execution, trial_step: TrialStep) -> float:
    """Return the milliseconds of one step."""
    synchronize(execution.device)
    start = time.perf_counter()
    trial_step(execution)
    synchronize(execution.device)
    return (time.perf_counter() - start) * 1000


def _recall(memory: Path) -> dict[str, dict[str, float]]:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=dict[str, dict[str, float]])
    except (OSError, msgspec.DecodeError):
        return {}
