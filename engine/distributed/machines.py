"""The machines of a Slurm job: how an agent is started on each, and how they are numbered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def machines_of_job(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many machines the Slurm job has that this process is in; 1: it is in none."""
    return _number(environment, "SLURM_JOB_NUM_NODES", 1)


def on_each_machine(nodes: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the words that start a command once on each machine of the job."""
    words = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    words += ["--kill-on-bad-exit=1"]  # ranks elsewhere may wait for those that are gone
    cores = environment.get("SLURM_CPUS_PER_TASK")  # not handed on by Slurm since 22.05
    return [*words, f"--cpus-per-task={cores}"] if cores else words


def claim_number(folder: Path, nodes: int, environment: Mapping[str, str] = os.environ) -> int:
    """Return this machine's number among those of a run, from 0: Slurm's where it is free.

    Args:
        folder: where all of them meet.
        nodes: how many there are.
        environment: of this process; ``srun`` tells each of its tasks its number.

    Raises:
        FileExistsError: when more have come than there are.
    """
    if nodes == 1:
        return 0
    by_slurm = _number(environment, "SLURM_PROCID", 0)
    for number in sorted(range(nodes), key=lambda each: each != by_slurm):
        try:
            (folder / f"machine-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise FileExistsError(f"More than {nodes} machines take part in the run.")


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(environment.get(name, default))
    except ValueError:
        return default
