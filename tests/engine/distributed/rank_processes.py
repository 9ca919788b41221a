"""Real ranks on this machine's processor, without the launcher and the agent."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from engine.data import load_with_outliers
from engine.ranks import Ranks
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog, SilentLog
from engine.stop_request import StopRequest
from engine.train import fine_tune, load_last
from tests.small_runs import StopAfter

START_METHOD: Final = "forkserver"
"""One process imports torch and forks the ranks."""
multiprocessing.get_context(START_METHOD).set_forkserver_preload(["engine.run"])


def train_on_two(meeting: Path, runs: list[RunDir], stop_after: Mapping[str, int]) -> None:
    """Do runs on two ranks; some are stopped, by the second rank, before so many steps."""
    stops = dict(stop_after)
    start_processes(_be_a_rank, (str(meeting), runs, stops), nprocs=2, start_method=START_METHOD)


def _be_a_rank(rank: int, meeting: str, runs: list[RunDir], stop_after: dict[str, int]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    ranks = Ranks(rank, 2, rank, 2)
    for run_dir in runs:
        spec = run_dir.read_spec()
        data = load_with_outliers(spec, run_dir.cache)
        checkpoint = load_last(run_dir.last_checkpoint)
        stops = rank == 1 and run_dir.run_id in stop_after
        stop = StopAfter(stop_after[run_dir.run_id]) if stops else StopRequest()
        log = EventLog(run_dir.events) if ranks.is_first else SilentLog()
        log.record(fine_tune(spec, data, run_dir, checkpoint, log, stop, ranks))
        log.sync()
    dist.destroy_process_group()
