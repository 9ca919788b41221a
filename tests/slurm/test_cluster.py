from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from tests.slurm.cluster import SlurmCluster

pytestmark = pytest.mark.slurm

TELL_GPU_AND_TIMES = (
    "echo $CUDA_VISIBLE_DEVICES $(date +%s.%N) > gpu.$SLURM_ARRAY_TASK_ID;"
    "sleep 1; date +%s.%N >> gpu.$SLURM_ARRAY_TASK_ID"
)


def wait_for_jobs(cluster: SlurmCluster) -> None:
    end = time.monotonic() + 60
    while cluster.run("squeue", "--noheader").stdout:
        assert time.monotonic() < end, cluster.run("squeue", "--array").stdout
        time.sleep(0.1)


def test_a_submitted_command_runs_on_the_node(cluster: SlurmCluster) -> None:
    done = cluster.run("sbatch", "--output=out", "--wrap=echo $SLURM_JOB_NODELIST")
    assert done.returncode == 0, done.stderr
    wait_for_jobs(cluster)
    assert (cluster.folder / "out").read_text().strip() == cluster.host


def test_array_tasks_wait_for_a_gpu_of_their_own(cluster: SlurmCluster) -> None:
    done = cluster.run("sbatch", "--array=0-3", "--gres=gpu:1", f"--wrap={TELL_GPU_AND_TIMES}")
    assert done.returncode == 0, done.stderr
    wait_for_jobs(cluster)
    tasks = [(cluster.folder / f"gpu.{index}").read_text().split() for index in range(4)]
    assert {gpu for gpu, _, _ in tasks} == {"0", "1"}
    spans = sorted((float(start), float(end), gpu) for gpu, start, end in tasks)
    overlaps = [
        (first[2], second[2])
        for index, first in enumerate(spans)
        for second in spans[index + 1 :]
        if second[0] < first[1]
    ]
    assert overlaps, "no two tasks ran at once"
    assert all(first != second for first, second in overlaps)


def test_a_job_outlives_the_daemon_of_its_node(tmp_path: Path) -> None:
    with SlurmCluster(tmp_path / "own") as cluster:
        cluster.run(
            "sbatch", "--output=out", "--wrap=until test -e go; do sleep 0.1; done; echo ran"
        )
        while "RUNNING" not in cluster.run("squeue", "--noheader", "--format=%T").stdout:
            time.sleep(0.1)
        cluster.kill_slurmd()
        (cluster.folder / "go").touch()
        cluster.restart_slurmd()
        wait_for_jobs(cluster)
        assert (cluster.folder / "out").read_text() == "ran\n"


def test_a_stopped_cluster_leaves_no_process(tmp_path: Path) -> None:
    with SlurmCluster(tmp_path / "own") as cluster:
        cluster.run("sbatch", "--wrap=echo $$ > pid; sleep 300")
        while not (cluster.folder / "pid").exists():
            time.sleep(0.1)
        job = psutil.Process(int((cluster.folder / "pid").read_text()))
        started = [job, *job.parents()[:1]]
        assert started[1].name() == "slurmstepd"
    _, alive = psutil.wait_procs(started, timeout=10)
    assert all(each.status() == psutil.STATUS_ZOMBIE for each in alive)
