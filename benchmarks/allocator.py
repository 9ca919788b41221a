"""Measure what waiting threads and freed memory cost a training step, alone and under load.

    python benchmarks/allocator.py [--steps 10]

Each setting runs twice, alternately, in a process of its own. Prints the median milliseconds per
step of the default network and batch, and the peak memory of the process. "Under load": another
process keeps one core busy.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

SETTINGS = {
    "as torch comes": {"OMP_WAIT_POLICY": "", "KEEP": ""},
    "waiting threads sleep": {"OMP_WAIT_POLICY": "PASSIVE", "KEEP": ""},
    "and freed memory is kept (the engine)": {
        "OMP_WAIT_POLICY": "PASSIVE", "KEEP": "1", "THP_MEM_ALLOC_ENABLE": "0",
    },
    "and large blocks are in huge pages": {
        "OMP_WAIT_POLICY": "PASSIVE", "KEEP": "1", "THP_MEM_ALLOC_ENABLE": "1",
    },
}  # fmt: skip


def measure(steps: int) -> None:
    """Print the median milliseconds of a step in this process."""
    import torch  # the environment must be set before

    from engine.machine.processor import keep_freed_memory, usable_cores
    from engine.model import build_network, masked_cross_entropy

    if os.environ["KEEP"]:
        keep_freed_memory()
    torch.set_num_threads(usable_cores())
    network = build_network(
        "tf_efficientnet_lite0", classes=18, weights="none", image_size=96, seed=0
    )
    network.module.to(memory_format=torch.channels_last)
    network.set_training(freeze_batchnorm=True)
    images = torch.randn(48, 3, 96, 96).contiguous(memory_format=torch.channels_last)
    labels, generator = torch.arange(48) % 18, torch.Generator()
    times = []
    for _ in range(steps + 2):
        started = time.perf_counter()
        masked_cross_entropy(
            network.head, network.features(images), labels,
            dropout_rate=0.9, masks=8, generator=generator,
        ).backward()  # fmt: skip
        network.module.zero_grad(set_to_none=True)
        times.append(1000 * (time.perf_counter() - started))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(statistics.median(times[2:]), peak_kib / 2**20)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.steps)
        return
    times: dict[tuple[str, bool], list[float]] = {}
    peaks_gib: dict[str, float] = {}
    for loaded in (False, True) * 2:
        busy = [sys.executable, "-c", "while True: pass"]
        other = subprocess.Popen(busy) if loaded else None
        for name, setting in SETTINGS.items():
            environment = {**os.environ, **setting}
            if not setting["OMP_WAIT_POLICY"]:
                del environment["OMP_WAIT_POLICY"]
            command = [sys.executable, __file__, "--measure", "--steps", str(asked.steps)]
            answer = subprocess.run(command, env=environment, capture_output=True, check=True)
            step_ms, peak_gib = map(float, answer.stdout.split())
            times.setdefault((name, loaded), []).append(step_ms)
            peaks_gib[name] = max(peak_gib, peaks_gib.get(name, 0.0))
        if other is not None:
            other.kill()
            other.wait()
    print("| step (ms) | alone | under load | peak (GiB) |\n|---|---|---|---|")
    for name in SETTINGS:
        alone, crowded = (min(times[name, loaded]) for loaded in (False, True))
        print(f"| {name} | {alone:.0f} | {crowded:.0f} | {peaks_gib[name]:.2f} |")


if __name__ == "__main__":
    main()
