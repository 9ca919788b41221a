"""Out-of-memory errors with advice: which batch size fits, found by trial."""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Iterator

import msgspec
import torch

from engine.data import RunData
from engine.errors import TrainingError
from engine.machine.devices import (
    describe_memory,
    is_out_of_memory,
    requested_bytes,
    resolve_device,
)
from engine.machine.processor import return_freed_memory
from engine.protocol import RunSpec
from engine.ranks import ALONE, Ranks
from engine.rundir import RunDir
from engine.stop_request import StopRequest
from engine.text import format_size
from engine.train.loop import take_step
from engine.train.setup import prepare

STEPS_TRIED = 2
"""The second step includes the optimizer's state."""


@contextlib.contextmanager
def explain_out_of_memory(
    spec: RunSpec, data: RunData, run_dir: RunDir, stop: StopRequest, ranks: Ranks = ALONE
) -> Iterator[None]:
    """Convert an out-of-memory error in the block into one that names what would fit.

    Raises:
        TrainingError: if memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they reference the network and the batch
        raise TrainingError(_explain(error, spec, data, run_dir, stop, ranks)) from error


def _explain(
    error: Exception, spec: RunSpec, data: RunData, run_dir: RunDir, stop: StopRequest,
    ranks: Ranks,
) -> str:  # fmt: skip
    device = resolve_device(spec.device, ranks.local_rank)
    requested = requested_bytes(error)
    block = "" if requested is None else f" {format_size(requested)} requested,"
    return_freed_memory()
    _release(device)
    parts = [f"Out of memory on {device}:{block} {describe_memory(device)}."]
    if ranks.size == 1:
        parts.append(_advice(spec, data, run_dir, stop))
    else:
        parts.append(_advice_to_ranks(spec, data, ranks))
    if run_dir.last_checkpoint.exists():
        parts.append("The last checkpoint is intact: resume the run on a machine with more memory.")
    return " ".join(parts)


def _advice(spec: RunSpec, data: RunData, run_dir: RunDir, stop: StopRequest) -> str:
    """Try to halve the micro-batch until it fits, and return the advice."""
    if not spec.freeze_batchnorm:  # its statistics need the whole batch
        return "Restart with a smaller --batch or --image-size."
    images = spec.images_per_step(len(data.sources))
    at_once = min(spec.micro_batch_size or images, images)
    if _fits(spec, data, run_dir):
        return (
            "Two training steps fit in a second try, so an evaluation or another process used the "
            f"memory. Use --eval-batch-size {max(1, spec.eval_batch_size // 2)}, or free memory."
        )
    while at_once > 1 and not stop.requested:
        at_once = at_once // 2
        if _fits(msgspec.structs.replace(spec, micro_batch_size=at_once), data, run_dir):
            return (
                f"Restart with --micro-batch {at_once}: two training steps fit in a trial. The "
                f"batch stays {images} images, and the result is the same."
            )
    return "Restart with a smaller --model or --image-size, or on another --device."


def _advice_to_ranks(spec: RunSpec, data: RunData, ranks: Ranks) -> str:
    """Return advice without a trial, which would need all ranks."""
    images = -(-spec.images_per_step(len(data.sources)) // ranks.size)
    at_once = min(spec.micro_batch_size or images, images)
    return (
        f"Each of {ranks.size} ranks had {images} images per training step, {at_once} at a time, "
        f"and {spec.eval_batch_size} per evaluation batch. Restart with --micro-batch "
        f"{max(1, at_once // 2)} or --eval-batch-size {max(1, spec.eval_batch_size // 2)}. The "
        "result is the same."
    )


def _fits(spec: RunSpec, data: RunData, run_dir: RunDir) -> bool:
    """Return whether training steps of a new network fit, in the widest precision of the run."""
    spec = msgspec.structs.replace(
        spec,
        precision="fp32" if spec.precision == "auto" else spec.precision,
        memory_format="contiguous" if spec.memory_format == "auto" else spec.memory_format,
        fold_batchnorm="off" if spec.fold_batchnorm == "auto" else spec.fold_batchnorm,
    )
    try:
        training = prepare(spec, data, run_dir, None)
        training.network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
        for step in range(STEPS_TRIED):
            take_step(spec, training, step)
            training.arms.after_step(step + 1)
    except (MemoryError, RuntimeError) as error:
        traceback.clear_frames(error.__traceback__)
        return False
    finally:
        _release(resolve_device(spec.device))
    return True


def _release(device: torch.device) -> None:
    """Free memory held by the garbage collector or torch."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
