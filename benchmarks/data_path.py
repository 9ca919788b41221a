"""Compare images per second with torchvision's loader, and measure how long a step waits for them.

    python benchmarks/data_path.py [--size 224]

The images are two styles of the embedded emoji, saved as JPEG at the given size. "Theirs" is
ImageFolder and a DataLoader with one worker per core and DomainBed's transforms; "ours" is what a
run does. A pass has as many images as the two styles. Cold: the first pass, with nothing decoded,
no file in memory and workers not started. Warm: later passes. The second part measures the share of
a training step spent waiting for its batch, for the paper's network at 224 px and the default
network at 96 px.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from engine.data import TrainingBatches, evaluation_batches, load_data
from engine.datasets.catalog import find_image_set
from engine.machine.processor import cpu_name, keep_freed_memory, usable_cores
from engine.protocol import RunSpec, resolve_spec
from engine.rundir import RunDir
from engine.train.loop import take_step
from engine.train.setup import prepare

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CPU = torch.device("cpu")
ROUNDS = 5
STYLES = ("noto", "twemoji")


def save_images(folder: Path, size: int) -> None:
    """Write two of the embedded styles as JPEG, laid out as domain/class/image."""
    emoji = find_image_set(resolve_spec({"dataset": "emoji"}))
    for index, file in enumerate(emoji.files):
        if file.domain not in STYLES:
            continue
        place = (folder / file.path).with_suffix(".jpg")
        place.parent.mkdir(parents=True, exist_ok=True)
        emoji.open_image(index).resize((size, size)).save(place, quality=90)


def forget_files(folder: Path) -> None:
    """Ask the system to drop the files from its page cache."""
    os.sync()
    for path in folder.rglob("*.jpg"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def their_transform(size: int, *, training: bool) -> transforms.Compose:
    """Return DomainBed's transforms."""
    normalize = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    if not training:
        return transforms.Compose([transforms.Resize((size, size)), *normalize])
    return transforms.Compose([
        transforms.RandomResizedCrop(size, scale=(0.7, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(0.3, 0.3, 0.3, 0.3),
        transforms.RandomGrayscale(),
        *normalize,
    ])  # fmt: skip


def their_passes(folder: Path, size: int, *, training: bool) -> Iterator[int]:
    """Yield the number of images of each pass over both domains."""
    transform = their_transform(size, training=training)
    images: ConcatDataset[tuple[torch.Tensor, int]] = ConcatDataset(
        [ImageFolder(str(folder / style), transform) for style in STYLES]
    )
    loader = DataLoader(
        images, batch_size=32, shuffle=training,
        num_workers=usable_cores(), persistent_workers=True,
    )  # fmt: skip
    while True:
        yield sum(len(labels) for _, labels in loader)


def our_passes(spec: RunSpec, cache: Path, *, training: bool) -> Iterator[int]:
    """Yield the number of images of each pass; the first pass fills the cache."""
    data = load_data(spec, cache)
    batches = TrainingBatches(data, 32, "batch", MEAN, STD, torch.Generator().manual_seed(0), CPU)
    count = sum(len(domain.rows) for domain in data.domains)
    while True:
        if training:
            yield sum(len(batches.draw()[1]) for _ in range(count // 32))
        else:
            yield sum(
                len(labels)
                for domain in data.domains
                for _, labels in evaluation_batches(
                    domain, np.arange(len(domain.rows)), 32, MEAN, STD, CPU
                )
            )


def timed(passes: Iterator[int]) -> float:
    """Return the images per second of the next pass."""
    started = time.perf_counter()
    count = next(passes)
    return count / (time.perf_counter() - started)


def compare(name: str, ours: Callable[[], Iterator[int]], theirs: Callable[[], Iterator[int]],
            folder: Path) -> None:  # fmt: skip
    """Print the rates of both, cold and warm, and the median of the paired ratios."""
    forget_files(folder)
    their = theirs()
    their_cold = timed(their)
    forget_files(folder)
    our = ours()
    our_cold = timed(our)
    pairs = [(timed(our), timed(their)) for _ in range(ROUNDS)]
    ratio = statistics.median(mine / other for mine, other in pairs)
    mine, other = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    print(f"| {name} | {our_cold:,.0f} | {their_cold:,.0f} | ×{our_cold / their_cold:.1f} "
          f"| {mine:,.0f} | {other:,.0f} | ×{ratio:.1f} |", flush=True)  # fmt: skip


def waiting(spec: RunSpec, cache: Path, steps: int) -> None:
    """Print the share of a step spent waiting for its batch."""
    data = load_data(spec, cache)
    with tempfile.TemporaryDirectory() as folder:
        training = prepare(spec, data, RunDir(Path(folder) / "runs" / "one"), None)
    training.network.set_training(freeze_batchnorm=True)
    draw, waits, shares = training.batches.draw, [0.0], []

    def timed_draw() -> tuple[torch.Tensor, torch.Tensor]:
        started = time.perf_counter()
        batch = draw()
        waits[0] = time.perf_counter() - started
        return batch

    training.batches.draw = timed_draw  # type: ignore[method-assign]
    for step in range(steps + 1):
        started = time.perf_counter()
        take_step(spec, training, step)
        shares.append(waits[0] / (time.perf_counter() - started))
    print(f"{spec.model}, {spec.image_size} px, {spec.batch_size} images per source: a step waits "
          f"{statistics.median(shares[1:]):.1%} of its time for its batch "
          f"({training.execution.precision}, {training.execution.memory_format})")  # fmt: skip


def main() -> None:
    """Print a Markdown table and the shares."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=8)
    asked = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(usable_cores())
    print(f"{cpu_name()}, {usable_cores()} cores, {asked.size} px, images per second\n")
    print("| path | ours, cold | theirs, cold | ratio | ours, warm | theirs, warm | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "emoji"
        save_images(folder, asked.size)
        spec = resolve_spec(
            {"data_dir": str(folder), "target": "twemoji", "image_size": asked.size}
        )
        for training in (True, False):
            compare(
                "training" if training else "evaluation",
                lambda training=training: our_passes(  # type: ignore[misc]
                    spec, Path(temporary) / f"cache-{training}", training=training
                ),
                lambda training=training: their_passes(  # type: ignore[misc]
                    folder, asked.size, training=training
                ),
                folder,
            )
        print()
        cache = Path(temporary) / "cache"
        paper = {"recipe": "paper", "model": "resnet50", "weights": "none", "dataset": "emoji"}
        waiting(resolve_spec({**paper, "target": "fluent-mono"}), cache, asked.steps)
        waiting(resolve_spec({"dataset": "emoji"}), cache, asked.steps)


if __name__ == "__main__":
    main()
