"""When memory runs out: find out by trying which part of a batch fits, and say so."""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Iterator

import msgspec
import torch

from engine.data import RunData
from engine.errors import TrainingError
from engine.machine.allocator import give_back_freed_memory
from engine.machine.devices import is_out_of_memory, memory_there_is, resolve_device, wanted_bytes
from engine.protocol import RunSpec
from engine.ranks import ALONE, Ranks
from engine.rundir import RunDir
from engine.stop_request import StopRequest
from engine.text import size_in_words
from engine.train.loop import take_step
from engine.train.setup import prepare

STEPS_TRIED = 2
"""The second has the optimizer's memory besides the activations."""


@contextlib.contextmanager
def shortage_explained(
    spec: RunSpec, data: RunData, run_dir: RunDir, stop: StopRequest, ranks: Ranks = ALONE
) -> Iterator[None]:
    """Say of memory that runs out in the block how much was wanted, and what would fit.

    Raises:
        TrainingError: when it ran out.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold the network and the batch
        raise TrainingError(_explain(error, spec, data, run_dir, stop, ranks)) from error


def _explain(
    error: Exception, spec: RunSpec, data: RunData, run_dir: RunDir, stop: StopRequest,
    ranks: Ranks,
) -> str:  # fmt: skip
    device = resolve_device(spec.device, ranks.local_rank)
    wanted = wanted_bytes(error)
    block = "" if wanted is None else f" {size_in_words(wanted)} more were wanted,"
    give_back_freed_memory()
    _release(device)
    parts = [f"Memory ran out on {device}:{block} {memory_there_is(device)}."]
    if ranks.size == 1:
        parts.append(_advice(spec, data, run_dir, stop))
    else:
        parts.append(_advice_to_ranks(spec, data, ranks))
    if run_dir.last_checkpoint.exists():
        parts.append("The last checkpoint is kept: where there is more memory, it can be resumed.")
    return " ".join(parts)


def _advice(spec: RunSpec, data: RunData, run_dir: RunDir, stop: StopRequest) -> str:
    """Try parts of the batch, each half as large as the one before, until one fits."""
    if not spec.freeze_batchnorm:  # its statistics are those of the whole batch
        return "Start again with a smaller --batch or --image-size."
    images = spec.batch_size * len(data.sources)
    at_once = min(spec.micro_batch_size or images, images)
    if _fits(spec, data, run_dir):
        return (
            "Two steps fit when tried again, so it was an evaluation, or another process had the "
            f"memory: give --eval-batch-size {max(1, spec.eval_batch_size // 2)}, or free some."
        )
    while at_once > 1 and not stop.requested:
        at_once = at_once // 2
        if _fits(msgspec.structs.replace(spec, micro_batch_size=at_once), data, run_dir):
            return (
                f"With --micro-batch {at_once} two steps fit when tried: start again with it. The "
                f"batch stays {images} images, and so does the result."
            )
    return "Start again with a smaller --model or --image-size, or on another --device."


def _advice_to_ranks(spec: RunSpec, data: RunData, ranks: Ranks) -> str:
    """Advise without trying: a step takes all ranks, and the others wait in the middle of one."""
    images = -(-spec.batch_size * len(data.sources) // ranks.size)
    at_once = min(spec.micro_batch_size or images, images)
    return (
        f"Each of {ranks.size} ranks had {images} images of a step, {at_once} at a time, and "
        f"{spec.eval_batch_size} of an evaluation: start again with --micro-batch "
        f"{max(1, at_once // 2)} or --eval-batch-size {max(1, spec.eval_batch_size // 2)}. The "
        "result stays the same."
    )


def _fits(spec: RunSpec, data: RunData, run_dir: RunDir) -> bool:
    """Take real steps with a network of its own, in the widest numbers the run may use."""
    spec = msgspec.structs.replace(
        spec,
        precision="fp32" if spec.precision == "auto" else spec.precision,
        memory_format="contiguous" if spec.memory_format == "auto" else spec.memory_format,
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
    """Let go of what only the garbage collector or torch still holds."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
