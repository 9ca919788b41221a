"""How many runs go on at once, and which GPU each has."""

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
    """Slots or GPUs that this machine cannot give; the message says which it can."""


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
    """Return the slots of this machine, as many as a person set, on the GPUs that a person chose.

    Raises:
        StoreError: when the settings cannot be read.
    """
    gpus = find_gpus()
    chosen = [gpu for gpu in store.setting(GPUS_SETTING, tuple[str, ...], ()) if gpu in gpus]
    return make_slots(store.setting(SLOTS_SETTING, int, 0) or None, chosen or gpus)


def keep_slots(store: Store, count: int) -> None:
    """Let so many runs go on at once; 0: one for each GPU, else one.

    Raises:
        SlotsError: when that is too many or too few.
        StoreError: when it cannot be kept.
    """
    check_slots(count)
    store.keep_setting(SLOTS_SETTING, count)


def check_slots(count: int) -> None:
    """Refuse a number of runs at once that there cannot be.

    Raises:
        SlotsError: when that is too many or too few.
    """
    if not 0 <= count <= MOST_SLOTS:
        raise SlotsError(f"The number of slots is {count}, but must be from 0 to {MOST_SLOTS}.")


def keep_gpus(store: Store, text: str) -> None:
    """Let the queue use some GPUs, separated by commas, or all of them.

    Raises:
        SlotsError: for one that this machine has not.
        StoreError: when it cannot be kept.
    """
    store.keep_setting(GPUS_SETTING, read_gpus(text))


def read_gpus(text: str) -> tuple[str, ...]:
    """Return GPUs of this machine that are separated by commas; nothing: all of them.

    Raises:
        SlotsError: for one that this machine has not.
    """
    here = find_gpus()
    named = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if named == (ALL_GPUS,):
        return ()
    if unknown := [gpu for gpu in named if gpu not in here]:
        has = f"has {', '.join(here)}" if here else "has none"
        raise SlotsError(f"There is no GPU {unknown[0]!r} here: this machine {has}.")
    if not named:
        raise SlotsError(f"No GPU is named: give some, such as 0,1, or {ALL_GPUS}.")
    return named


def free_slots(slots: Sequence[Slot], taken: Sequence[Slot]) -> list[Slot]:
    """Return the slots that are left.

    Args:
        slots: all of them.
        taken: the GPUs of every run that goes on here; None for one that was not started by the
            queue, which takes a slot that no other one has.
    """
    left = list(slots)
    for gpu in sorted(taken, key=lambda each: each is None):
        if gpu in left:
            left.remove(gpu)
        elif left and gpu is None:
            left.pop(0)
    return left


def wanted_slots(spec: RunSpec, slots: Sequence[Slot]) -> int:
    """Return how many slots a run takes: one for each GPU it wants, where slots are GPUs."""
    return 1 if spec.device == "cpu" or None in slots else spec.gpus


def choose_slots(free: Sequence[Slot], wanted: int) -> list[Slot] | None:
    """Return that many of the free slots, each on another GPU; None: there are not as many."""
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
