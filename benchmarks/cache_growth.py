"""Measure what the cache of decoded images costs, by number of images.

    python benchmarks/cache_growth.py [--size 96] [--counts 1000 10000 100000]

The images are the embedded emoji, linked under new names until there are enough. For each count a
new process builds the cache, opens it again as a later run does, draws training batches and reads
every image once. Memory is the peak above the initial memory (Linux only). It hardly grows with the
cache, so data may be larger than memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from engine.data import TrainingBatches, evaluation_batches, load_data
from engine.datasets.catalog import find_image_set
from engine.machine.processor import cpu_name, usable_cores
from engine.protocol import resolve_spec

MEAN = STD = (0.5, 0.5, 0.5)
DRAWN_BATCHES, BATCH = 200, 32
STATUS = Path("/proc/self/status")
CPU = torch.device("cpu")


def link_images(folder: Path, count: int) -> None:
    """Fill a folder of domain/class/image with ``count`` links to real images."""
    image_set = find_image_set(resolve_spec({"dataset": "emoji"}))
    originals = folder.with_name("originals")
    originals.mkdir(exist_ok=True)
    paths = []
    for index, file in enumerate(image_set.files):
        path = originals / f"{index}.png"
        if not path.exists():
            path.write_bytes(image_set.read(index))
        paths.append((path, folder / file.domain / file.class_name))
    for parent in {parent for _, parent in paths}:
        parent.mkdir(parents=True)
    # One of every class and domain first: even a thousand images must contain them all.
    order = np.random.default_rng(0).permutation(len(paths))
    first = list({paths[i][1]: int(i) for i in order}.values())
    turns = [*first, *(int(i) for i in order if int(i) not in set(first))]
    for number in range(count):
        path, parent = paths[turns[number % len(turns)]]
        os.link(path, parent / f"{number}.png")


def memory_bytes(what: str) -> int:
    """Return the resident size of this process (``VmRSS``) or its peak (``VmHWM``)."""
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


def begin_peak() -> int:
    """Reset the peak; return the resident size."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory_bytes("VmRSS")


def measure(folder: Path, cache: Path, size: int) -> dict[str, float]:
    """Build the cache and use it; return seconds, bytes and peak memory."""
    torch.set_num_threads(usable_cores())
    spec = resolve_spec({"data_dir": str(folder), "target": "noto", "image_size": size})
    before_bytes = begin_peak()
    started = time.perf_counter()
    load_data(spec, cache)
    built_s, build_bytes = time.perf_counter() - started, memory_bytes("VmHWM") - before_bytes
    before_bytes = begin_peak()
    started = time.perf_counter()
    data = load_data(spec, cache)
    opened_s = time.perf_counter() - started
    generator = torch.Generator().manual_seed(0)
    batches = TrainingBatches(data, BATCH, "batch", MEAN, STD, generator, CPU)
    for _ in range(DRAWN_BATCHES):
        batches.draw()
    for domain in data.domains:
        for _ in evaluation_batches(domain, np.arange(len(domain.rows)), BATCH, MEAN, STD, CPU):
            pass
    disk_bytes = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    return {
        "built_s": built_s, "opened_s": opened_s, "disk_bytes": disk_bytes,
        "build_bytes": build_bytes, "use_bytes": memory_bytes("VmHWM") - before_bytes,
    }  # fmt: skip


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--measure", type=Path, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        folder, cache = asked.measure
        print(json.dumps(measure(folder, cache, asked.size)))
        return
    print(f"{cpu_name()}, {usable_cores()} cores, {asked.size} px\n")
    print("| images | build | per second | reopen | on disk | memory: build | then use |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for count in asked.counts:
            folder, cache = Path(temporary) / f"images-{count}", Path(temporary) / f"cache-{count}"
            link_images(folder, count)
            command = [sys.executable, __file__, "--size", str(asked.size)]
            command += ["--measure", str(folder), str(cache)]
            answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            found = json.loads(answer)
            mib = {name: value / 2**20 for name, value in found.items() if name.endswith("bytes")}
            print(f"| {count:,} | {found['built_s']:.1f} s | {count / found['built_s']:,.0f} "
                  f"| {found['opened_s']:.2f} s | {mib['disk_bytes']:,.0f} MiB "
                  f"| +{mib['build_bytes']:,.0f} MiB | +{mib['use_bytes']:,.0f} MiB |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
