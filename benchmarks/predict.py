"""Compare `vld predict` with bare forward passes, and with a loop like timm's `inference.py`.

    python benchmarks/predict.py [--model resnet50] [--image-size 224] [--images 512] [--rounds 3]
    python benchmarks/predict.py --paths 100000

Each round times, in turn, on the same images, network (random weights), batch and threads:

- bare: forward passes of the plain network on a batch that is in memory already;
- ours: the batches that `vld predict` computes, decoded in threads;
- theirs: a DataLoader with two workers, PIL and torchvision's transforms, as in timm.

Images are JPEG files of 512 px whose pages are dropped from the system's cache before each side.
The processor time includes the workers'. The table gives medians over rounds.

The time to the first result is that of a fresh process, from `import torch` to the first rows;
it includes importing timm and loading the network. With `--paths`, a small network classifies a
table of so many paths, and only the peak memory of the largest process is printed.
"""

# ruff: noqa: E402

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from engine.machine.processor import cpu_name, let_waiting_threads_sleep, usable_cores

let_waiting_threads_sleep()  # on all sides, before torch is imported

# isort: split
import msgspec
import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from engine.datasets.catalog import find_image_set
from engine.inference.session import InferenceSession
from engine.model import build_network
from engine.model.tensor_file import write_tensors
from engine.protocol import resolve_spec
from engine.protocol.inference import PredictImages
from engine.rundir import RunDir, UserData
from engine.train.checkpoint import TrainingState, card_of

SIDE, SMALL_SIDE, WORKERS, CLASSES = 512, 64, 2, 18
FIRST: Final = """
import time
import torch
began, processor = time.perf_counter(), time.process_time()
import sys
from engine.inference.listing import find_files
from engine.inference.predict import predict_images
import msgspec
from engine.protocol.inference import PredictImages
from engine.protocol.work import WorkRows

def report(each):
    if isinstance(each, WorkRows):
        print(time.perf_counter() - began, time.process_time() - processor)
        sys.exit()

request = msgspec.json.decode(sys.argv[1], type=PredictImages)
predict_images(request, find_files(request), report)
"""
"""Prints the seconds, and those of the processor, from `import torch` to the first rows."""


def save_images(folder: Path, count: int, side: int) -> list[Path]:
    """Write embedded images as square JPEG files."""
    emoji = find_image_set(resolve_spec({"dataset": "emoji"}))
    folder.mkdir()
    files = []
    for index in range(count):
        files.append(folder / f"{index:06}.jpg")
        image = emoji.open_image(index % len(emoji.files)).resize((side, side))
        image.save(files[-1], quality=90)
    os.sync()
    return files


def make_run(home: Path, model: str, image_size: int) -> RunDir:
    """Return a run with a network of random weights."""
    spec = resolve_spec(
        {"model": model, "weights": "none", "image_size": image_size, "target": "noto"}
    )
    run_dir = RunDir(home / "runs" / model)
    run_dir.create(spec, UserData(name=model))
    classes = [f"class {index}" for index in range(CLASSES)]
    network = build_network(model, classes=CLASSES, weights="none", image_size=image_size, seed=0)
    card = card_of(network, spec, classes, run_dir.run_id)
    state = network.module.state_dict()
    trained = TrainingState(
        feature_rms=1.0, data_digest="", precision="fp32", memory_format="contiguous"
    )
    encoded = msgspec.json.encode(trained)
    write_tensors(run_dir.best_checkpoint, state, encoded, card.as_header())
    return run_dir


def drop_pages(files: Sequence[Path]) -> None:
    """Drop files from the system's cache."""
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Timed:
    """Wall and processor time of a side, in each round."""

    def __init__(self) -> None:
        self.wall_s: list[float] = []
        self.processor_s: list[float] = []

    def add(self, work: Callable[[], None]) -> None:
        """Time the work."""
        before, began = os.times(), time.perf_counter()
        work()
        self.wall_s.append(time.perf_counter() - began)
        self.processor_s.append(sum(os.times()[:4]) - sum(before[:4]))


class TheirImages(Dataset[torch.Tensor]):
    """Images from files, as in timm."""

    def __init__(self, files: Sequence[Path], classifier_size: int, mean: Sequence[float],
                 std: Sequence[float]) -> None:  # fmt: skip
        self._files = files
        self._transform = transforms.Compose([
            transforms.Resize((classifier_size, classifier_size)), transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self._transform(Image.open(self._files[index]).convert("RGB"))
        return image


def compare(run_dir: RunDir, files: Sequence[Path], batch: int, rounds: int) -> dict[str, Timed]:
    """Return the times of each side."""
    request = PredictImages(
        run_dir=str(run_dir.path), device="cpu", batch_size=batch, calibrates=False
    )
    session = InferenceSession(request, lambda _report: None)
    card = session.classifier.card
    plain = timm.create_model(card.model, num_classes=CLASSES).eval()
    images = torch.randn(batch, 3, card.image_size, card.image_size)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(len(files) // batch):
                plain(images).softmax(dim=1)

    def ours() -> None:
        for each in session.logits(len(files), lambda at: files[at].read_bytes()):
            session.probabilities(each.logits)

    def theirs() -> None:
        loader = DataLoader(
            TheirImages(files, card.image_size, card.mean, card.std), batch, num_workers=WORKERS
        )
        with torch.inference_mode():
            for each in loader:
                plain(each).softmax(dim=1)

    sides = {"bare": bare, "ours": ours, "theirs": theirs}
    times = {name: Timed() for name in sides}
    bare()  # warm up
    for _ in range(rounds):
        for name, side in sides.items():
            drop_pages(files)
            times[name].add(side)
    return times


def first_result_s(run_dir: RunDir, folder: Path) -> tuple[float, float]:
    """Return the seconds, and those of the processor, to the first rows in a fresh process."""
    request = PredictImages(
        run_dir=str(run_dir.path), paths=(str(folder),), device="cpu", calibrates=False
    )
    command = [sys.executable, "-c", FIRST, msgspec.json.encode(request).decode()]
    seconds = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()
    return float(seconds[0]), float(seconds[1])


def peak_memory_gib(home: Path, run_dir: RunDir, files: Sequence[Path], count: int) -> float:
    """Return the peak memory of the largest process of `vld predict` on so many paths."""
    table = home / "paths.csv"
    paths = itertools.islice(itertools.cycle(map(str, files)), count)
    table.write_text("path\n" + "\n".join(paths))
    command = [
        sys.executable, "-m", "vld_tui.cli", "predict", run_dir.run_id, str(table),
        "-o", str(home / "out.csv"), "--no-calibration", "--home", str(home),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 2**20


def main() -> None:
    """Print a Markdown table, or the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--paths", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if given.paths:
            files = save_images(home / "images", 64, SMALL_SIDE)
            run_dir = make_run(home, "test_resnet", 32)
            gib = peak_memory_gib(home, run_dir, files, given.paths)
            print(f"{given.paths:,} paths: {gib:.2f} GiB")
            return
        files = save_images(home / "images", given.images, SIDE)
        run_dir = make_run(home, given.model, given.image_size)
        times = compare(run_dir, files, given.batch, given.rounds)
        first = [first_result_s(run_dir, home / "images") for _ in range(given.rounds)]
    print(f"{given.model}, {given.image_size} px, batch {given.batch}, {cpu_name()}, "
          f"{usable_cores()} cores, load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print("| | images/s | images per processor second |\n|---|---|---|")
    rates = {}
    for name, each in times.items():
        count = len(files) // given.batch * given.batch if name == "bare" else len(files)
        rates[name] = [[count / s for s in seconds] for seconds in (each.wall_s, each.processor_s)]
        wall, processor = map(statistics.median, rates[name])
        print(f"| {name} | {wall:.1f} | {processor:.1f} |")
    for other in ("bare", "theirs"):
        wall, processor = (
            statistics.median(a / b for a, b in zip(*pair, strict=True))
            for pair in zip(rates["ours"], rates[other], strict=True)
        )
        print(f"| ours / {other} | ×{wall:.2f} | ×{processor:.2f} |")
    wall, processor = map(statistics.median, zip(*first, strict=True))
    print(f"\nfirst result {wall:.1f} s after `import torch`, {processor:.1f} processor seconds")


if __name__ == "__main__":
    main()
