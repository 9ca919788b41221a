"""The machines of a Slurm job: how an agent is started on each, and where the agents meet."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping


def machines_of_job(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many machines the Slurm job has that this process is in; 1: it is in none."""
    try:
        return int(environment.get("SLURM_JOB_NUM_NODES", "1"))
    except ValueError:
        return 1


def on_each_machine(nodes: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the words that start a command once on each machine of the job."""
    words = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    words += ["--kill-on-bad-exit=1"]  # ranks elsewhere may wait for those that are gone
    cores = environment.get("SLURM_CPUS_PER_TASK")  # not handed on by Slurm since 22.05
    return [*words, f"--cpus-per-task={cores}"] if cores else words


def meeting(nodes: int) -> list[str]:
    """Return the agents' options that let them find one another: on this machine, the first."""
    with socket.socket() as found:
        found.bind(("", 0))
        port = found.getsockname()[1]
    place = f"{socket.gethostname()}:{port}"
    return ["--nodes", str(nodes), "--meet-at", place, "--meeting", uuid.uuid4().hex]
