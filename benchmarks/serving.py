"""Measure images per second of an exported network on the processor: onnxruntime and torch.

    python benchmarks/serving.py [--rounds 7] [--only lite0|resnet50] [--batch 1 32]

Every way computes the same images in turn, in one process and with the same number of threads.
Prints, for each network and batch size, the median images per second and the median of the paired
ratios to bare torch with its quartiles. Weights are random: times do not depend on them.

``torch``: the network as it is. ``folded``: BatchNorm folded into convolutions, as ``vld predict``
and evaluations compute. ``channels last``: folded, in that memory format. ``pt2``: the file of
``vld export --to pt2``. ``onnxruntime``: the file of ``vld export --to onnx``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import onnxruntime
import torch
from torch import Tensor

from engine.export import onnx_file
from engine.export.network import FORMS
from engine.inference.classifier import Classifier
from engine.machine.processor import cpu_name, usable_cores
from engine.model import build_network
from engine.protocol import resolve_spec
from engine.train.checkpoint import card_of

CLASSES: Final = tuple(f"class {number}" for number in range(10))
LEAST_S: Final = 0.5
"""Least duration of one measurement; short ones are repeated."""


class Network(NamedTuple):
    """A network to measure, at its image size in pixels."""

    model: str
    image_size: int


NETWORKS: Final[Mapping[str, Network]] = {
    "lite0": Network("tf_efficientnet_lite0", 96),
    "resnet50": Network("resnet50", 224),
}


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each way")
    parser.add_argument("--only", choices=NETWORKS, help="measure one network")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32], help="images at a time")
    asked = parser.parse_args()
    threads = usable_cores()
    torch.set_num_threads(threads)
    print(
        f"{cpu_name()}, {threads} threads, torch {torch.__version__}, onnxruntime "
        f"{onnxruntime.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    for name, network in NETWORKS.items():
        if asked.only in (None, name):
            _measure(network, asked.batch, asked.rounds, threads)


def _measure(network: Network, batches: list[int], rounds: int, threads: int) -> None:
    with ways(_classifier(network), threads) as compute:
        for batch in batches:
            generator = torch.Generator().manual_seed(0)
            size = network.image_size
            images = torch.randn(batch, 3, size, size, generator=generator)
            print(f"\n{network.model} at {size} px, batch of {batch}: images/s, ratio to torch")
            _print(_compare(compute, images, rounds), batch)


def _compare(
    compute: Mapping[str, Callable[[Tensor], object]], images: Tensor, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of one batch for each way, in turn."""
    repeats = {name: _repeats(way, images) for name, way in compute.items()}
    seconds: dict[str, list[float]] = {name: [] for name in compute}
    for _ in range(rounds):
        for name, way in compute.items():
            started = time.perf_counter()
            for _ in range(repeats[name]):
                way(images)
            seconds[name].append((time.perf_counter() - started) / repeats[name])
    return seconds


def _repeats(way: Callable[[Tensor], object], images: Tensor) -> int:
    """Warm a way up, and return how often to repeat it in one measurement."""
    way(images)
    started = time.perf_counter()
    way(images)
    return max(1, round(LEAST_S / (time.perf_counter() - started)))


def _print(seconds: Mapping[str, list[float]], batch: int) -> None:
    bare = seconds["torch"]
    for name, of_way in seconds.items():
        ratios = sorted(one / other for one, other in zip(bare, of_way, strict=True))
        low, middle, high = statistics.quantiles(ratios, n=4)
        rate = batch / statistics.median(of_way)
        print(f"  {name:<14} {rate:8,.0f}  ×{middle:.2f} ({low:.2f}–{high:.2f})", flush=True)


@contextmanager
def ways(classifier: Classifier, threads: int) -> Iterator[dict[str, Callable[[Tensor], object]]]:
    """Yield the ways to compute a network's logits, by name."""
    network = Network(classifier.card.model, classifier.image_size)
    folded, last = _classifier(network), _classifier(network)
    last.to(memory_format=torch.channels_last)

    def channels_last(images: Tensor) -> object:
        return last.members[0](images.to(memory_format=torch.channels_last))

    with (
        tempfile.TemporaryDirectory() as place,
        torch.inference_mode(),
        folded.folded(),
        last.folded(),
    ):
        folder = Path(place)
        for form in ("pt2", "onnx"):
            with torch.inference_mode(mode=False):
                FORMS[form].write(folder, classifier)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            folder / onnx_file.FILE, options, providers=["CPUExecutionProvider"]
        )
        yield {
            "torch": classifier.members[0],
            "folded": folded.members[0],
            "channels last": channels_last,
            "pt2": FORMS["pt2"].load(folder).logits,
            "onnxruntime": lambda images: session.run(None, {onnx_file.INPUT: images.numpy()}),
        }


def _classifier(network: Network) -> Classifier:
    spec = resolve_spec(
        {"model": network.model, "weights": "none", "image_size": network.image_size}
    )
    with torch.inference_mode(mode=False):
        built = build_network(
            network.model, classes=len(CLASSES), weights="none", image_size=network.image_size,
            seed=0,
        )  # fmt: skip
    return Classifier([built], card_of(built, spec, CLASSES, "benchmark"), "dropout")


if __name__ == "__main__":
    main()
