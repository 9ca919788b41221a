"""How many runs go on at once, and which GPU each has."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from vld_tui.store.store import Store

VISIBLE_GPUS: Final = "CUDA_VISIBLE_DEVICES"
SLOTS_SETTING: Final = "queue_slots"
MOST_SLOTS: Final = 64

Slot = str | None
"""Room for one run: the GPU it gets, as ``CUDA_VISIBLE_DEVICES`` names it; None: no GPU."""


def find_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the GPUs of this machine that runs may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = environment.get(VISIBLE_GPUS)
    if named is not None:
        return tuple(part.strip() for part in named.split(",") if part.strip())
    return tuple(map(str, range(_count_gpus())))


def make_slots(count: int | None, gpus: Sequence[str]) -> tuple[Slot, ...]:
    """Return the slots: one for each GPU, else one; or ``count`` of them, the GPUs in turn."""
    if not gpus:
        return (None,) * (1 if count is None else count)
    return tuple(gpus[index % len(gpus)] for index in range(len(gpus) if count is None else count))


def slots_of(store: Store) -> tuple[Slot, ...]:
    """Return the slots of this machine, as many as a person set.

    Raises:
        StoreError: when the setting cannot be read.
    """
    return make_slots(store.setting(SLOTS_SETTING, int, 0) or None, find_gpus())


def free_slots(slots: Sequence[Slot], taken: Sequence[Slot]) -> list[Slot]:
    """Return the slots that are left.

    Args:
        slots: all of them.
        taken: the GPU of every run that goes on here; None for one that was not started by the
            queue, which takes a slot that no other one has.
    """
    left = list(slots)
    for gpu in sorted(taken, key=lambda each: each is None):
        if gpu in left:
            left.remove(gpu)
        elif left and gpu is None:
            left.pop(0)
    return left


def _count_gpus() -> int:
    try:
        import pynvml  # noqa: PLC0415 - looks for the driver's library

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no driver, another version of it, no permission: no GPU
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
