"""The machines of a Slurm job: starting an agent on each, and their numbering."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def machines_of_job(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of machines of this process's Slurm job; 1 outside of a job."""
    return _number(environment, "SLURM_JOB_NUM_NODES", 1)


def on_each_machine(nodes: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command prefix that starts a command once on each machine of the job."""
    words = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    words += ["--kill-on-bad-exit=1"]  # other ranks may be waiting for the failed one
    cores = environment.get("SLURM_CPUS_PER_TASK")  # not inherited by srun since Slurm 22.05
    return [*words, f"--cpus-per-task={cores}"] if cores else words


def claim_number(folder: Path, nodes: int, environment: Mapping[str, str] = os.environ) -> int:
    """Claim a number for this machine, from 0; Slurm's task number if it is free.

    Args:
        folder: folder shared by the machines.
        nodes: number of machines.
        environment: of this process.

    Raises:
        FileExistsError: if all numbers are taken.
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
    raise FileExistsError(f"More than {nodes} machines joined the run.")


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(environment.get(name, default))
    except ValueError:
        return default
