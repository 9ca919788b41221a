"""Show where the time of a training step goes, by kind of operation.

    python benchmarks/step_profile.py [--model NAME] [--image-size PX] [--rounds 7] [--no-fold]

Every operation of torch is timed as it runs, in forward, backward and update; on a CPU operations
do not overlap. Convolutions are split by kind, because depthwise ones do little arithmetic for each
value they read and write. The peak is what a large matrix product reaches on the same threads.
Prints a Markdown table: milliseconds are the minimum of the rounds, which other programs affect
least.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count

from engine.data import load_data
from engine.machine.devices import device_name
from engine.machine.processor import keep_freed_memory
from engine.protocol import resolve_spec
from engine.rundir import RunDir
from engine.train.loop import take_step
from engine.train.setup import prepare

PEAK_SIZE: Final = 1024
"""Side of the matrices whose product measures the peak."""
UPDATE: Final = "update of the weights"
OTHER: Final = "other operations (sums, pooling, folding, last layer, masks)"
BETWEEN: Final = "between operations (Python, waiting for the batch)"
KINDS: Final = {
    "batch_norm": "BatchNorm",
    "hardtanh": "activations",
    "relu": "activations",
    "silu": "activations",
    "threshold": "activations",
    "constant_pad": "padding",
    "clone": "copies",
    "copy": "copies",
}
"""Kinds of operations by a part of their name; convolutions are distinguished by their weights."""


class Clock(TorchDispatchMode):
    """Adds up seconds and floating-point operations by kind of operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seconds: dict[str, float] = defaultdict(float)
        self.flops: dict[str, int] = defaultdict(int)
        self.updates = False

    def __torch_dispatch__(
        self, operation: Any, _types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        """Run and time an operation."""
        began = time.perf_counter()
        result = operation(*arguments, **(options or {}))
        took = time.perf_counter() - began
        kind, flops = classify(operation.__name__.partition(".")[0], arguments, result)
        self.seconds[UPDATE if self.updates else kind] += took
        self.flops[kind] += flops
        return result


def classify(name: str, arguments: Any, result: Any) -> tuple[str, int]:
    """Return the kind of an operation, and its number of floating-point operations if it counts."""
    if name == "convolution":
        images, weight = arguments[:2]
        return f"{kind_of(weight)}, forward", conv_flop_count(
            images.shape, weight.shape, result.shape
        )
    if name == "convolution_backward":
        gradient, images, weight = arguments[:3]
        once = conv_flop_count(images.shape, weight.shape, gradient.shape)
        return f"{kind_of(weight)}, backward", once * sum(each is not None for each in result[:2])
    for part, kind in KINDS.items():
        if part in name:
            return kind, 0
    return OTHER, 0


def kind_of(weight: Tensor) -> str:
    """Return the kind of a convolution."""
    if weight.shape[1] == 1 and weight.shape[0] > 1:
        return "depthwise convolutions"
    return "1 × 1 convolutions" if weight.shape[2:] == (1, 1) else "other convolutions"


def measure_peak() -> float:
    """Return the floating-point operations per second of a large fp32 matrix product."""
    one, other = torch.randn(2, PEAK_SIZE, PEAK_SIZE)
    seconds = []
    for _ in range(50):
        began = time.perf_counter()
        one @ other
        seconds.append(time.perf_counter() - began)
    return float(2 * PEAK_SIZE**3 / min(seconds))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-fold", action="store_true")
    asked = parser.parse_args()
    keep_freed_memory()
    given = {"model": asked.model, "image_size": asked.image_size}
    spec = resolve_spec(
        {
            "dataset": "emoji", "lr": 1e-6, "device": "cpu", "precision": "fp32",
            "fold_batchnorm": "off" if asked.no_fold else "on",
            **({"weights": "none"} if asked.model else {}),
            **{name: value for name, value in given.items() if value is not None},
        }
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as home:
        run_dir = RunDir(Path(home) / "runs" / "benchmark")
        data = load_data(spec, run_dir.cache)
        training = prepare(spec, data, run_dir, None)
    training.network.set_training(freeze_batchnorm=True)
    print(
        f"{spec.model}, {spec.image_size} px, {spec.batch_size * len(data.sources)} images, "
        f"{training.execution.name}, {device_name(training.execution.device)}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, load "
        f"{os.getloadavg()[0]:.1f}\n"
    )
    take_step(spec, training, 0)
    rounds, whole = [], []
    for _ in range(asked.rounds):
        began = time.perf_counter()
        take_step(spec, training, 0)
        whole.append(time.perf_counter() - began)
        clock = Clock()
        with clock, updates_marked(clock, training.optimizer):
            take_step(spec, training, 0)
        rounds.append(clock)
    print_table(rounds, min(whole), measure_peak())


@contextmanager
def updates_marked(clock: Clock, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Mark in a clock, within the block, that weights are being updated."""

    def set_to(updates: bool) -> Callable[..., None]:
        return lambda *_: setattr(clock, "updates", updates)

    hooks = (
        optimizer.register_step_pre_hook(set_to(True)),
        optimizer.register_step_post_hook(set_to(False)),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def print_table(rounds: list[Clock], step_s: float, peak: float) -> None:
    """Print milliseconds, share of the step and share of the peak of each kind."""
    seconds = {kind: min(clock.seconds[kind] for clock in rounds) for kind in rounds[0].seconds}
    seconds[BETWEEN] = max(0.0, step_s - sum(seconds.values()))
    flops = rounds[0].flops
    print("| operations | ms | share of the step | share of the peak |\n|---|---|---|---|")
    for kind, taken in sorted(seconds.items(), key=lambda each: -each[1]):
        of_peak = f"{flops[kind] / taken / peak:.0%}" if flops.get(kind) else ""
        print(f"| {kind} | {1000 * taken:.0f} | {taken / step_s:.0%} | {of_peak} |")
    print(
        f"| whole step | {1000 * step_s:.0f} | | {sum(flops.values()) / step_s / peak:.0%} |\n\n"
        f"Peak: {peak / 1e9:.0f} GFLOP/s."
    )


if __name__ == "__main__":
    main()
