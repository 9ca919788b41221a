"""Start new runs: in a process of this machine or on a cluster."""

from __future__ import annotations

import subprocess

import msgspec

from engine.protocol import RunSpec
from vld_tui.home import Home
from vld_tui.launch.datasets import added_folder, check_own_name
from vld_tui.launch.local import EXIT_PATIENCE_S, LaunchError, launch
from vld_tui.launch.slurm.commands import SlurmError
from vld_tui.launch.slurm.submit import Cluster, submit_runs
from vld_tui.runs.run import Run
from vld_tui.store.store import Store


def located(home: Home, spec: RunSpec) -> RunSpec:
    """Return a spec with the folder of its data set, if that was added by name.

    Raises:
        DatasetError: when other images have the name of a published data set.
        LaunchError: when its images cannot be read.
    """
    folder = None if spec.data_dir else added_folder(home, spec.dataset)
    if folder is not None:
        spec = msgspec.structs.replace(spec, data_dir=str(folder))
    check_own_name(home, spec)
    return spec


def begin(
    store: Store, run: Run, *, resumes: bool = False, gpus: int | None = None
) -> subprocess.Popen[bytes]:
    """Start the process of a run; a new run that cannot be started is deleted.

    ``gpus``: the number of GPUs; None: as in the spec.

    Raises:
        LaunchError: when it cannot be started.
    """
    run_dir = store.runs.run_dir(run.run_id)
    try:
        process = launch(run_dir, patience_s=EXIT_PATIENCE_S if resumes else 0.0, gpus=gpus)
    except LaunchError:
        if not resumes:
            store.trash.discard(run.run_id)
        raise
    if resumes:
        store.live.mark_relaunched(run.run_id)
    return process


def submit(store: Store, run: Run, cluster: Cluster) -> Run:
    """Submit a new run, and return it with its job; it is deleted if the cluster rejects it.

    Raises:
        SlurmError: when the cluster rejects it.
        StoreError: when the submission cannot be recorded.
    """
    try:
        submit_runs(store, cluster, [run.run_id])
    except SlurmError:
        store.trash.discard(run.run_id)
        raise
    return store.runs.get(run.run_id)
