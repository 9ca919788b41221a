"""Measure what sharing a run costs: two ranks of one thread against one process of two threads.

    python benchmarks/ranks.py [--rounds 15]

Both sides use the same cores, so the difference is what ranks add: gathering features, summing
gradients, agreeing to continue. The two sides alternate. Prints the median of the paired ratios
with its quartiles, for wall-clock time and for the processor time of all processes, which other
work on the machine disturbs less. Network and batch are those of the default run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import msgspec
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from engine.data import load_data
from engine.evaluate import evaluate_domains, network_predictor
from engine.machine.devices import device_name
from engine.machine.processor import keep_freed_memory
from engine.protocol import RunSpec, resolve_spec
from engine.ranks import Ranks
from engine.rundir import RunDir
from engine.train.loop import take_step
from engine.train.setup import prepare

RANKS = 2
Timed = Callable[[], tuple[float, float]]
"""An action that returns its wall-clock seconds, and the processor seconds of all processes."""


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as home:
        spawn(be_a_rank, (home, rounds), nprocs=RANKS)


def be_a_rank(rank: int, home: str, rounds: int) -> None:
    """Time steps and evaluations on both ranks, and then in the first process alone."""
    keep_freed_memory()
    dist.init_process_group("gloo", init_method=f"file://{home}/at", rank=rank, world_size=RANKS)
    ranks = Ranks(rank, RANKS, rank, RANKS)
    spec = resolve_spec(
        {"dataset": "emoji", "lr": 1e-6, "precision": "fp32", "device": "cpu", "threads": 1}
    )
    run_dir = RunDir(Path(home) / "runs" / "benchmark")
    ranks.from_first(lambda: load_data(spec, run_dir.cache) is not None, bool)
    together = timed_actions(spec, run_dir, ranks)
    few = max(3, rounds // 5)  # each looks at all validation and target images
    if not ranks.is_first:
        for action, times in zip(together, (rounds, few), strict=True):
            for _ in range(2 + times):
                action()
        return
    alone = timed_actions(msgspec.structs.replace(spec, threads=RANKS), run_dir, Ranks())
    print(
        f"{spec.model}, {spec.image_size} px, {spec.batch_size} images of each source, "
        f"{device_name(torch.device('cpu'))}, torch {torch.__version__}"
    )
    compare(f"step on {RANKS} ranks / in one process", together[0], alone[0], rounds)
    compare(f"evaluation on {RANKS} ranks / in one process", together[1], alone[1], few)


def timed_actions(spec: RunSpec, run_dir: RunDir, ranks: Ranks) -> list[Timed]:
    """Return a step and an evaluation."""
    data = load_data(spec, run_dir.cache)
    training = prepare(spec, data, run_dir, None, ranks)
    predictor = network_predictor(training.network, spec.eval_batch_size, training.execution)

    def step() -> None:
        training.network.set_training(freeze_batchnorm=True)
        ranks.any_rank(flag=False)
        take_step(spec, training, 0)

    def evaluation() -> None:
        evaluate_domains(predictor, data, "dropout")

    def timed(action: Callable[[], None]) -> tuple[float, float]:
        torch.set_num_threads(spec.threads or 1)
        ranks.any_rank(flag=False)  # all are there
        started, started_working = time.perf_counter(), time.process_time()
        action()
        ranks.any_rank(flag=False)
        wall_s, work_s = time.perf_counter() - started, time.process_time() - started_working
        works_s = ranks.gather(torch.tensor([work_s], dtype=torch.float64), ranks.size)
        return wall_s, float(works_s.sum())

    return [lambda: timed(step), lambda: timed(evaluation)]


def compare(name: str, ours: Timed, theirs: Timed, rounds: int) -> None:
    """Print the median of ours/theirs over alternating rounds."""
    for action in (ours, theirs, ours, theirs):
        action()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    for index, clock in enumerate(("wall-clock", "processor")):
        times = [(one[index], other[index]) for one, other in pairs]
        low, middle, high = statistics.quantiles([one / other for one, other in times], n=4)
        our_ms, their_ms = (1000 * statistics.median(each) for each in zip(*times, strict=True))
        print(
            f"{name}, {clock} time: ×{middle:.3f} (quartiles {low:.3f} to {high:.3f}; "
            f"{our_ms:.0f} and {their_ms:.0f} ms)"
        )


if __name__ == "__main__":
    main()
