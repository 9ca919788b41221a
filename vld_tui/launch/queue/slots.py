"""Slots of the queue: concurrent runs and their GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from engine.protocol import RunSpec, UserError
from vld_tui.store.store import Store

VISIBLE_GPUS: Final = "CUDA_VISIBLE_DEVICES"
SLOTS_SETTING: Final = "queue_slots"
GPUS_SETTING: Final = "queue_gpus"
ALL_GPUS: Final = "all"
MOST_SLOTS: Final = 64


class SlotsError(UserError):
    """Slots or GPUs that this machine does not have; the message lists those it has."""


Slot = str | None
"""Room for one run: its GPU, as in ``CUDA_VISIBLE_DEVICES``, or None."""


def find_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the usable GPUs of this machine, as in ``CUDA_VISIBLE_DEVICES``."""
    named = environment.get(VISIBLE_GPUS)
    if named is not None:
        return tuple(part.strip() for part in named.split(",") if part.strip())
    return tuple(map(str, range(_count_gpus())))


def make_slots(count: int | None, gpus: Sequence[str]) -> tuple[Slot, ...]:
    """Return ``count`` slots over the GPUs in turn; by default one per GPU, or one without GPUs."""
    if not gpus:
        return (None,) * (1 if count is None else count)
    return tuple(gpus[index % len(gpus)] for index in range(len(gpus) if count is None else count))


def slots_of(store: Store) -> tuple[Slot, ...]:
    """Return the slots of this machine with the stored count and GPUs.

    Raises:
        StoreError: when the settings cannot be read.
    """
    gpus = find_gpus()
    chosen = [gpu for gpu in store.settings.get(GPUS_SETTING, tuple[str, ...], ()) if gpu in gpus]
    return make_slots(store.settings.get(SLOTS_SETTING, int, 0) or None, chosen or gpus)


def queue_settings(count: int | None, gpus: str | None) -> dict[str, object]:
    """Return the settings of a queue with so many slots on some GPUs.

    Args:
        count: how many; 0: one for each GPU, else one; None: as before.
        gpus: separated by commas, or ``all``; None: as before.

    Raises:
        SlotsError: for too many slots, or a GPU that this machine does not have.
    """
    settings: dict[str, object] = {}
    if count is not None:
        if not 0 <= count <= MOST_SLOTS:
            raise SlotsError(f"The number of slots is {count}, but must be from 0 to {MOST_SLOTS}.")
        settings[SLOTS_SETTING] = count
    if gpus is not None:
        settings[GPUS_SETTING] = read_gpus(gpus)
    return settings


def read_gpus(text: str) -> tuple[str, ...]:
    """Return the GPUs in a comma-separated list; empty: all GPUs of this machine.

    Raises:
        SlotsError: for a GPU that this machine does not have.
    """
    here = find_gpus()
    named = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if named == (ALL_GPUS,):
        return ()
    if unknown := [gpu for gpu in named if gpu not in here]:
        has = f"has {', '.join(here)}" if here else "has none"
        raise SlotsError(f"No GPU {unknown[0]!r}: this machine {has}.")
    if not named:
        raise SlotsError(f"The list of GPUs is empty. Pass indices, such as 0,1, or {ALL_GPUS}.")
    return named


def free_slots(slots: Sequence[Slot], taken: Sequence[Slot]) -> list[Slot]:
    """Return the free slots.

    Args:
        slots: all slots.
        taken: the GPUs of each running run; None for a run not started by the queue, which takes
            any free slot.
    """
    left = list(slots)
    for gpu in sorted(taken, key=lambda each: each is None):
        if gpu in left:
            left.remove(gpu)
        elif left and gpu is None:
            left.pop(0)
    return left


def wanted_slots(spec: RunSpec, slots: Sequence[Slot]) -> int:
    """Return how many slots a run takes: one per GPU if slots are GPUs."""
    return 1 if spec.device == "cpu" or None in slots else spec.gpus


def choose_slots(free: Sequence[Slot], wanted: int) -> list[Slot] | None:
    """Return that many free slots on different GPUs, or None if there are too few."""
    different = list(dict.fromkeys(free))[:wanted]
    return different if len(different) == wanted else None


def _count_gpus() -> int:
    try:
        import pynvml  # looks for the driver's library

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no driver, another version of it, no permission: no GPU
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
