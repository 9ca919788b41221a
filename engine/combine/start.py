"""The network that a run's fine-tuning started from, rebuilt from the run's specification.

A run keeps its best and its last network, not the first. The first follows from the specification:
pre-trained weights, and a last layer that was trained alone, all its randomness drawn from the
run's seed.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor

from engine.combine.bench import Bench
from engine.combine.parents import ParentRun
from engine.errors import InputError
from engine.execution import Execution
from engine.machine.disk import plain_file
from engine.protocol import Cautioned, EventDecodeError, HeadTrained, decode_event
from engine.rundir import RunDir
from engine.train.last_layer import train_head_on
from engine.train.setup import make_generators

TOLERANCE: Final = 1e-4
"""Relative difference of losses that rounding explains."""


def rebuild_start(bench: Bench) -> dict[str, Tensor]:
    """Return the weights that the last parent had before its first step.

    On the machine of that run they are equal to the bit. Whether they are is judged by the loss
    of the last layer, which the run recorded; a difference is told in a ``cautioned`` event. The
    bench's network must still be as it was built.

    Raises:
        InputError: when the run started with a random last layer.
    """
    parent, network, device = bench.parents[-1], bench.network, bench.execution.device
    state = parent.state
    if parent.spec.head_steps > 0:
        trained = train_head_on(
            bench.data, network, parent.spec,
            Execution(device, state.precision, state.memory_format), state.feature_rms,
            make_generators(parent.spec, device), bench.stop.raise_if_requested,
        )  # fmt: skip
        bench.log.record(trained)
        if caution := _difference(parent, trained):
            bench.log.record(Cautioned(message=caution))
    elif not network.is_head_trained:
        raise InputError(
            f"Run {parent.run_id} started with a random last layer, so there is no network to "
            "start from. Interpolate from a linear probe: vld combine interpolate pretrained "
            f"{parent.run_id} --probe"
        )
    return bench.weights()


def _difference(parent: ParentRun, trained: HeadTrained) -> str | None:
    """Return how the last layer's training differs from the run's own, if it does."""
    before = _head_trained(RunDir(parent.file.parent.parent))
    if before is None or before.loss is None or trained.loss is None:
        return (
            f"Whether the start of run {parent.run_id} was rebuilt exactly is not known: its "
            "event log does not have the loss of its last layer."
        )
    if abs(trained.loss - before.loss) <= TOLERANCE * abs(before.loss):
        return None
    return (
        f"The start of run {parent.run_id} was not rebuilt exactly: its last layer now ends at a "
        f"training loss of {trained.loss:.4f}, and ended at {before.loss:.4f} in that run. "
        "Another device or version draws other masks. Interpolate where the run was trained."
    )


def _head_trained(run_dir: RunDir) -> HeadTrained | None:
    """Return what a run told of its last layer, in the latest attempt that trained it."""
    found = None
    try:
        with open(run_dir.events, "rb", opener=plain_file) as file:
            for line in file:
                if b'"head_trained"' not in line:
                    continue
                event = decode_event(line)
                found = event if isinstance(event, HeadTrained) else found
    except (OSError, EventDecodeError):
        return None
    return found
