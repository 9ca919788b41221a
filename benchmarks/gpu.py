"""Measure training on a GPU against timm's own training loop, and run the tests that need a GPU.

    python benchmarks/gpu.py [--minutes 12]

ResNet-50 and ViT-B/16 with random weights, 224 px, 96 images a step, bf16. Theirs is the loop of
timm's `train.py` with `--amp --amp-dtype bfloat16 --channels-last`: timm's loader with worker
processes and prefetching, AdamW, cross-entropy. Ours is a step of the default recipe on the same
images, batches drawn and augmented from the image cache, eight masks. Both take turns on one card.

Prints a Markdown table: images per second, the median ratio, the share of the card's peak (of a
large bf16 matrix product), and the share of a step spent waiting for its batch: by how much a step
is shorter with one batch that stays on the card. Without a GPU it measures nothing, prints this and
exits with 2; `--device cpu --tiny` runs the same code on small networks.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import timm.data
import timm.optim
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from engine.data import load_data
from engine.data.load import Indices
from engine.datasets.catalog import find_image_set
from engine.machine.devices import device_name, resolve_device, synchronize
from engine.machine.processor import usable_cores
from engine.model.backbone import creation_options
from engine.protocol import RunSpec, resolve_spec
from engine.rundir import RunDir
from engine.train.loop import take_step
from engine.train.setup import Training, prepare

TARGET: Final = "fluent-mono"
SOURCES: Final = 3
LR: Final = 1e-6
ROUNDS: Final = 3
NO_GPU: Final = (
    "No GPU on this machine: nothing was measured and no test was run. Run this script where "
    "torch.cuda.is_available() is true."
)


@dataclass(frozen=True)
class Size:
    """The size of the measurements: networks, images, and seconds of each turn."""

    networks: tuple[str, ...] = ("resnet50", "vit_base_patch16_224")
    image_size: int = 224
    images: int = 96
    turn_s: float = 10.0
    steps_at_once: int = 10
    matrix: int = 8192


TINY: Final = Size(("test_resnet", "test_vit"), 64, 6, 0.2, 1, 512)


@dataclass(frozen=True)
class Row:
    """Rates in images per second, and shares from 0 to 1, of one network."""

    network: str
    execution: str
    ours: float
    theirs: float
    ratio: float
    of_peak: float
    waiting: float

    def __str__(self) -> str:
        return (
            f"| `{self.network}` | {self.execution} | {self.ours:,.0f} | {self.theirs:,.0f} "
            f"| ×{self.ratio:.2f} | {self.of_peak:.1%} | {self.waiting:.1%} |"
        )


HEADINGS: Final = (
    "| network | ours computes in | ours, images/s | timm's loop, images/s | ratio | share of the "
    "peak | waiting for the batch |\n|---|---|---|---|---|---|---|"
)


class OneBatch:
    """Stands in for a run's batches: the same one at every step, already on the device."""

    pairs = None

    def __init__(self, batch: tuple[Tensor, Tensor], drawn: Indices) -> None:
        """``drawn``: rows of the batch's images in the image set."""
        self._batch = batch
        self.drawn = drawn

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return the batch."""
        return self._batch


def save_sources(folder: Path, image_size: int) -> None:
    """Write the source domains of the embedded images as JPEG, laid out as domain/class/image."""
    emoji = find_image_set(resolve_spec({"dataset": "emoji"}))
    for index, file in enumerate(emoji.files):
        place = (folder / file.path).with_suffix(".jpg")
        if place.relative_to(folder).parts[0] != TARGET:
            place.parent.mkdir(parents=True, exist_ok=True)
            emoji.open_image(index).resize((image_size, image_size)).save(place, quality=90)


def our_training(
    network: str, size: Size, device: torch.device, home: Path
) -> tuple[RunSpec, Training]:
    """Prepare a run of the default recipe."""
    spec = resolve_spec(
        {
            "dataset": "emoji", "target": TARGET, "model": network, "weights": "none",
            "image_size": size.image_size, "batch_size": size.images // SOURCES,
            "precision": "bf16", "lr": LR, "device": str(device),
        }
    )  # fmt: skip
    run_dir = RunDir(home / "runs" / network)
    training = prepare(spec, load_data(spec, run_dir.cache), run_dir, None)
    training.network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
    return spec, training


def their_steps(network: str, images: Path, size: Size, device: torch.device) -> Iterator[None]:
    """Train as timm's `train.py` does, one step for each item."""
    options: dict[str, Any] = creation_options(network, size.image_size)
    library: Any = timm
    model = library.create_model(network, num_classes=18, **options)
    model.to(device=device, memory_format=torch.channels_last)
    model.train()
    optimizer = library.optim.create_optimizer_v2(model, opt="adamw", lr=LR, weight_decay=0.05)
    is_cuda = device.type == "cuda"
    loader = library.data.create_loader(
        library.data.ImageDataset(str(images)), (3, size.image_size, size.image_size), size.images,
        is_training=True, num_workers=usable_cores() if is_cuda else 1, pin_memory=is_cuda,
        use_prefetcher=is_cuda, use_multi_epochs_loader=True, device=device,
    )  # fmt: skip
    while True:
        for loaded, labels in loader:  # on the device already, if timm prefetches
            inputs = loaded.to(device).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = F.cross_entropy(model(inputs), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def steps_per_second(step: Callable[[], object], size: Size, device: torch.device) -> float:
    """Return the rate of a step over one turn; the device is awaited once in several steps."""
    for _ in range(size.steps_at_once):
        step()
    synchronize(device)
    began, done = time.perf_counter(), 0
    while (seconds := time.perf_counter() - began) < size.turn_s:
        for _ in range(size.steps_at_once):
            step()
        synchronize(device)
        done += size.steps_at_once
    return done / seconds


def flops_of_step(training: Training, batch: tuple[Tensor, Tensor]) -> float:
    """Return the floating-point operations of forward and backward of a batch."""
    images, labels = batch
    execution = training.execution
    counter = FlopCounterMode(display=False)
    with counter, execution.autocast():
        logits = training.network.module(execution.lay_out(images))
        F.cross_entropy(logits.float(), labels).backward()
    training.network.module.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def peak_flops(size: Size, device: torch.device) -> float:
    """Return the floating-point operations per second of a large bf16 matrix product."""
    one = torch.randn(size.matrix, size.matrix, device=device, dtype=torch.bfloat16)
    other = torch.randn_like(one)
    seconds = []
    for _ in range(10):
        synchronize(device)
        began = time.perf_counter()
        one @ other
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return float(2 * size.matrix**3 / min(seconds))


def measure(
    network: str, size: Size, device: torch.device, images: Path, home: Path, peak: float
) -> Row:
    """Measure one network; ours and theirs take turns."""
    spec, training = our_training(network, size, device, home)
    batch = training.batches.draw()
    stays: Any = OneBatch(batch, training.batches.drawn)
    without_waiting = dataclasses.replace(training, batches=stays)
    theirs = their_steps(network, images, size, device)
    turns = [
        tuple(
            steps_per_second(step, size, device)
            for step in (
                lambda: take_step(spec, training, 0),
                lambda: next(theirs),
                lambda: take_step(spec, without_waiting, 0),
            )
        )
        for _ in range(ROUNDS)
    ]
    our_rate, their_rate, _ = (statistics.median(each) for each in zip(*turns, strict=True))
    return Row(
        network, training.execution.name, our_rate * size.images, their_rate * size.images,
        ratio=statistics.median(ours / theirs for ours, theirs, _ in turns),
        of_peak=flops_of_step(training, batch) * our_rate / peak,
        waiting=max(0.0, 1 - statistics.median(ours / fed for ours, _, fed in turns)),
    )  # fmt: skip


def run_tests(seconds: float) -> int:
    """Run the tests that need a GPU; return pytest's exit code, or 1 if they take too long."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/engine"]
    try:
        return subprocess.run(command, check=False, timeout=max(1.0, seconds)).returncode
    except subprocess.TimeoutExpired:
        print(f"The tests that need a GPU did not finish in {seconds:.0f} s.")
        return 1


def main(arguments: list[str] | None = None) -> int:
    """Print the table and run the tests; return 2 without a GPU, 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=12.0, help="tests stop at this time")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small networks, to try the script")
    asked = parser.parse_args(arguments)
    ends = time.monotonic() + 60 * asked.minutes
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    size, device = TINY if asked.tiny else Size(), resolve_device(asked.device)
    peak = peak_flops(size, device)
    print(
        f"{device_name(device)}, torch {torch.__version__}, timm {timm.__version__}, "
        f"{size.image_size} px, {size.images} images a step, bf16; peak {peak / 1e12:.1f} TFLOP/s\n"
    )
    print(HEADINGS, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        images, home = Path(folder) / "images", Path(folder) / "home"
        save_sources(images, size.image_size)
        for network in size.networks:
            print(measure(network, size, device, images, home, peak), flush=True)
    if device.type != "cuda":
        return 0
    return min(1, run_tests(ends - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main())
