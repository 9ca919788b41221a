"""Compare a complete short run with the training loop of the paper's authors.

    python benchmarks/trainer.py [--steps 21] [--skip-theirs]

The paper's code is a fork of DomainBed's loop. `their_run` below does what that loop does, in our
own words: a DataLoader with workers for each source (images decoded and augmented one by one, drawn
with replacement), ResNet-50 in fp32, and an evaluation after the first and the last step over the
sources' held-out fifth and all of the target, through loaders that augment the sources' images too.
Ours is the engine's process on the same images, network, batch, steps and number of evaluations.

This compares the time of two programs, not of one recipe in both: ours is `--recipe paper` except
for the transforms, which are `batch` (whole batches from the cache, the program's default) instead
of `pil` (file by file, as theirs). Neither evaluates further arms. Ours evaluates the sources'
validation images both plain and augmented.

Each side is a process of its own, timed from start to end; ours starts with empty caches.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from engine.datasets.catalog import find_image_set
from engine.machine.processor import cpu_name, usable_cores
from engine.protocol import Evaluated, ModelPrepared, decode_event, resolve_spec
from engine.rundir import RunDir, UserData

SIZE, BATCH, TARGET, DROPOUT_RATE, LR = 224, 8, "fluent-mono", 0.9, 1e-3
WORKERS, EVALUATION_BATCH = 8, 64
"""DomainBed's number of workers per loader, and of images per evaluation batch."""

Batches = Iterator[tuple[Tensor, Tensor]]


def save_images(folder: Path) -> None:
    """Write the embedded images at 224 px as JPEG, laid out as domain/class/image."""
    emoji = find_image_set(resolve_spec({"dataset": "emoji"}))
    for index, file in enumerate(emoji.files):
        place = (folder / file.path).with_suffix(".jpg")
        place.parent.mkdir(parents=True, exist_ok=True)
        emoji.open_image(index).resize((SIZE, SIZE)).save(place, quality=90)


def endless(loader: DataLoader[tuple[Tensor, Tensor]]) -> Batches:
    """Yield batches without end."""
    while True:
        yield from loader


def their_run(images: Path, steps: int) -> None:
    """Train and evaluate as DomainBed's loop does."""
    import timm

    normalize = [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406),
                                                             (0.229, 0.224, 0.225))]  # fmt: skip
    plain = transforms.Compose([transforms.Resize((SIZE, SIZE)), *normalize])
    augment = transforms.Compose([
        transforms.RandomResizedCrop(SIZE, scale=(0.7, 1.0)), transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(0.3, 0.3, 0.3, 0.3), transforms.RandomGrayscale(), *normalize,
    ])  # fmt: skip
    training: list[Batches] = []
    evaluation = []
    for name in sorted(path.name for path in images.iterdir()):
        is_target = name == TARGET
        domain = ImageFolder(str(images / name), plain if is_target else augment)
        order = torch.randperm(len(domain)).tolist()
        held_out, rest = order[: len(order) // 5], order[len(order) // 5 :]
        if not is_target:
            train = Subset(domain, rest)
            sampler = RandomSampler(train, replacement=True, num_samples=BATCH * 10_000)
            loader = DataLoader(train, BATCH, sampler=sampler, num_workers=WORKERS)
            training.append(endless(loader))
        parts = [held_out, rest] if is_target else [held_out]
        evaluation += [
            DataLoader(
                Subset(domain, part), EVALUATION_BATCH,
                num_workers=WORKERS, persistent_workers=True,
            )
            for part in parts
        ]  # fmt: skip
    network = timm.create_model("resnet50", num_classes=18, drop_rate=DROPOUT_RATE)
    optimizer = torch.optim.SGD(network.parameters(), LR, momentum=0.9, weight_decay=1e-4)
    for step in range(steps):
        network.train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        minibatches = [next(batches) for batches in training]
        inputs = torch.cat([each for each, _ in minibatches])
        labels = torch.cat([each for _, each in minibatches])
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
        if step in (0, steps - 1):
            network.eval()
            with torch.no_grad():
                for loader in evaluation:
                    correct = sum(int((network(x).argmax(1) == y).sum()) for x, y in loader)
                    print(f"step {step}: {correct} correct", file=sys.stderr)


def our_run(images: Path, home: Path, steps: int, precision: str, name: str) -> tuple[float, str]:
    """Run the engine; return its seconds, precision and layout."""
    spec = resolve_spec(
        {
            "recipe": "paper", "arms": [], "data_dir": str(images), "target": TARGET,
            "model": "resnet50", "weights": "none", "image_size": SIZE, "batch_size": BATCH,
            "steps": steps,
            "eval_every": steps - 1, "dropout_rate": DROPOUT_RATE, "transforms": "batch",
            "precision": precision,
        }
    )  # fmt: skip
    run_dir = RunDir(home / "runs" / name)
    run_dir.create(spec, UserData(name=name))
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "engine", str(run_dir.path)], check=True)
    seconds = time.perf_counter() - started
    events = [decode_event(line) for line in run_dir.events.read_bytes().splitlines()]
    evaluations = sum(isinstance(event, Evaluated) for event in events)
    assert evaluations == 2, "as many evaluations as theirs"
    model = next(event for event in events if isinstance(event, ModelPrepared))
    return seconds, f"{model.precision} {model.memory_format}"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=21)
    parser.add_argument("--skip-theirs", action="store_true")
    parser.add_argument("--theirs", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.theirs:
        their_run(asked.theirs, asked.steps)
        return
    print(f"{cpu_name()}, {usable_cores()} cores, ResNet-50, {SIZE} px, "
          f"{3 * BATCH} images per step, {asked.steps} steps, 2 evaluations\n")  # fmt: skip
    print("| | seconds | theirs / ours |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        images, home = Path(temporary) / "emoji", Path(temporary) / "home"
        save_images(images)
        their_seconds = float("nan")
        if not asked.skip_theirs:
            command = [sys.executable, __file__, "--theirs", str(images)]
            started = time.perf_counter()
            subprocess.run(
                [*command, "--steps", str(asked.steps)],
                check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            )  # fmt: skip
            their_seconds = time.perf_counter() - started
            print(f"| theirs, fp32 | {their_seconds:.0f} | |", flush=True)
        for label, precision, name in (
            ("ours, `--precision fp32`, empty caches", "fp32", "fp32"),
            ("ours, `--precision auto`, the first run of this network here", "auto", "first"),
            ("ours, `--precision auto`, any later run", "auto", "later"),
        ):
            seconds, execution = our_run(images, home, asked.steps, precision, name)
            print(f"| {label} ({execution}) | {seconds:.0f} | ×{their_seconds / seconds:.1f} |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
