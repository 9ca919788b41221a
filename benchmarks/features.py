"""Measure cached features: computing and opening them, and a linear run that reads them.

    python benchmarks/features.py [--model NAME] [--views 6] [--steps 10001] [--rounds 9]
                                  [--features blocks] [--image-size 96] [--threads N]

Computing is compared with bare forward passes on normalised images already in memory, in rounds
that alternate in one process, on a part of the embedded emoji; half of the images are augmented
views. Processor time is compared as well, because it depends less on other programs. The run trains
a last layer on penultimate features of all embedded emoji, or the paper's linear model on blocks,
with batches and evaluations of the paper (32 images of each source, one mask, an evaluation every
300 steps). Figure 9 has such a run for each of 4 dropout rates, 6 cells and 3 seeds of a target.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import torch

from engine.data import RunData, load_data
from engine.data.transforms import network_input
from engine.datasets.catalog import EMOJI_ARCHIVE
from engine.evaluate import evaluate_domains, network_predictor
from engine.execution import Execution
from engine.features import CachedFeatures, cached_features
from engine.model import FineTunedNetwork, build_for
from engine.protocol import RunSpec, resolve_spec
from engine.rundir import RunDir
from engine.rundir.event_log import EventLog
from engine.rundir.folder import UserData
from engine.stop_request import StopRequest
from engine.text import format_size
from engine.train import fine_tune
from engine.train.setup import Training, prepare

OF_EACH = 24
"""Images of each class and style in the compared part."""
RUN = {
    "image_size": 96, "tuning": "linear", "linear_features": "penultimate", "batch_size": 32,
    "masks": 1, "head_steps": 0, "optimizer": "sgd", "lr": 1e-3, "schedule": "constant",
    "warmup_steps": 0, "eval_from": 1, "eval_every": 300, "log_every": 100, "precision": "fp32",
}  # fmt: skip
"""Settings of the measured run."""


FIGURE_9_RUNS = 4 * 6 * 3
"""Runs of a target: dropout rates, cells of learning rate and weight decay, seeds."""


def unpack_part(root: Path) -> Path:
    """Unpack a part of the embedded emoji as a folder."""
    taken: Counter[str] = Counter()
    with zipfile.ZipFile(EMOJI_ARCHIVE) as archive:
        for name in sorted(archive.namelist()):
            folder = name.rpartition("/")[0]
            if folder.count("/") == 1 and taken[folder] < OF_EACH:
                taken[folder] += 1
                archive.extract(name, root)
    return root


class Seconds(NamedTuple):
    """Wall time, and processor time of this process."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> Seconds:
        """Return the current times."""
        return cls(time.perf_counter(), time.process_time())

    def since(self) -> Seconds:
        """Return the times since these."""
        now = Seconds.now()
        return Seconds(now.wall - self.wall, now.processor - self.processor)


class Passes:
    """Computes features, and the bare forward passes that they are compared with."""

    def __init__(self, spec: RunSpec, data: RunData, home: Path) -> None:
        self._spec, self._data, self._cache = spec, data, home / "cache"
        self._network: FineTunedNetwork = build_for(spec, data.classes, seed=0)
        self._execution = Execution(torch.device("cpu"), "fp32", "channels_last")
        self._execution.prepare(self._network.module)
        self._network.module.eval()
        images = torch.cat([domain.images(domain.in_indices) for domain in data.domains])
        network = self._network
        self._images = network_input(images, network.mean, network.std)
        self.count = 2 * len(data.image_set)

    def compute(self) -> Seconds:
        """Return the time to compute and store the features of all images and of one view."""
        shutil.rmtree(self._cache / "features", ignore_errors=True)
        began = Seconds.now()
        found = self.features(views=1)
        assert found.computed == self.count
        return began.since()

    def bare(self) -> Seconds:
        """Return the time of as many bare forward passes."""
        batches = self._images.split(self._spec.eval_batch_size)
        done, began = 0, Seconds.now()
        with torch.inference_mode():
            while done < self.count:
                for batch in batches:
                    wanted = batch[: self.count - done]
                    if len(wanted):
                        self._network.features(wanted)
                        done += len(wanted)
        return began.since()

    def features(self, views: int) -> CachedFeatures:
        """Return features from the cache, or computed into it."""
        return cached_features(
            self._network, self._data, self._cache, lambda: self._execution,
            model=self._spec.model, views=views, batch_size=self._spec.eval_batch_size,
        )  # fmt: skip


def compare(passes: Passes, rounds: int) -> None:
    """Print the ratio of computing features to bare forward passes."""
    passes.compute()
    passes.bare()
    pairs: list[tuple[Seconds, Seconds]] = []
    for turn in range(rounds):
        if turn % 2:
            pairs.append((passes.compute(), passes.bare()))
        else:
            bare = passes.bare()
            pairs.append((passes.compute(), bare))
    for what in ("wall", "processor"):
        ratios = [getattr(ours, what) / getattr(bare, what) for ours, bare in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"computing features / bare forward passes, {what} time: ×{middle:.3f} (quartiles "
            f"{low:.3f} to {high:.3f})"
        )
    seconds = statistics.median(ours.wall for ours, _ in pairs)
    print(f"computing features: {passes.count / seconds:.0f} images/s")


def open_again(spec: RunSpec, data: RunData, home: Path, views: int) -> None:
    """Compute the features of all emoji, and print the time of that and of opening them again."""
    passes = Passes(spec, data, home)
    began = time.perf_counter()
    found = passes.features(views)
    computed_s = time.perf_counter() - began
    opened = []
    for _ in range(5):
        began = time.perf_counter()
        passes.features(views)
        opened.append(time.perf_counter() - began)
    print(
        f"features of {found.images:,} images and views: {computed_s:.1f} s, "
        f"{format_size(found.size_bytes)}; opened again in {statistics.median(opened):.3f} s"
    )


def time_run(spec: RunSpec, home: Path, data: RunData) -> None:
    """Print the time of a linear run, and of one evaluation of all domains."""
    run_dir = RunDir(home / "runs" / "linear")
    run_dir.create(spec, UserData())
    log = EventLog(run_dir.events)
    began = Seconds.now()
    fine_tune(spec, data, run_dir, None, log, StopRequest())
    took = began.since()
    log.close()
    print(
        f"linear run of {spec.steps:,} steps with evaluations and checkpoints: {took.wall:.1f} s "
        f"({spec.steps / took.wall:.0f} steps/s), {took.processor:.1f} s of processor time, load "
        f"{os.getloadavg()[0]:.1f}"
    )
    runs = FIGURE_9_RUNS * len(data.domains)
    print(
        f"figure 9 with all {len(data.domains)} targets: {runs} runs, "
        f"{runs * took.processor / 3600:.1f} hours of processor time once features are cached"
    )
    training = prepare(spec, data, run_dir, None)
    print(f"evaluation of all domains: {1000 * evaluation_s(training, spec):.1f} ms")


def evaluation_s(training: Training, spec: RunSpec) -> float:
    """Return the seconds of an evaluation, the median of several."""
    predictor = network_predictor(training.network, spec.eval_batch_size, training.execution)
    seconds = []
    for _ in range(9):
        began = time.perf_counter()
        evaluate_domains(predictor, training.data, "dropout")
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="pretrained")
    parser.add_argument(
        "--features", choices=["penultimate", "blocks"], default=RUN["linear_features"]
    )
    parser.add_argument("--image-size", type=int, default=RUN["image_size"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--steps", type=int, default=10_001)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    run = {
        **RUN, "model": asked.model, "weights": asked.weights, "threads": asked.threads,
        "linear_features": asked.features, "image_size": asked.image_size,
    }  # fmt: skip
    print(f"{asked.model}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        part = unpack_part(home / "part")
        spec = resolve_spec({**run, "data_dir": str(part), "target": "fluent-mono"})
        if asked.rounds > 1:
            compare(Passes(spec, load_data(spec, home / "cache"), home), asked.rounds)
        spec = resolve_spec({**run, "dataset": "emoji", "steps": asked.steps, "views": asked.views})
        data = load_data(spec, home / "cache")
        open_again(spec, data, home, asked.views)
        time_run(spec, home, data)


if __name__ == "__main__":
    main()
