"""Test which timm networks can be fine-tuned: the smallest of each architecture, random weights.

    python benchmarks/networks.py [--only PATTERN] [--largest 100]

An architecture is a module of timm together with the start of the network's name: ``ghostnet`` has
``ghostnet``, ``ghostnetv2`` and ``ghostnetv3``.

Each network is prepared, trained for two steps at λ = 0.9, evaluated, stopped after the first step
and resumed. It passes if the resumed run measures the same as the uninterrupted one, bit for bit.
Prints a Markdown table (`make networks`).
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine does, before torch loads

import numpy as np
import timm
import torch
from PIL import Image

from engine.errors import InputError
from engine.machine.processor import cpu_name
from engine.protocol import Evaluated, StepsTaken, decode_event, resolve_spec
from engine.run import run
from engine.rundir import RunDir, UserData
from engine.rundir.event_log import EventLog
from engine.stop_request import StopRequest

ARCHITECTURE: Final = re.compile(r"((tf|gc|legacy)_)?[a-z]+((?<=v)\d)?")
"""The start of a network's name that names its architecture; sizes follow."""
SMALL_PX: Final = 64
"""Tried first: the network's own size takes longer."""
CANNOT_BE_MADE: Final = "timm cannot create"
CANNOT_READ: Final = "does not accept images"


@dataclass(frozen=True)
class Tried:
    """The image size of a test, in pixels; ``reason`` is empty if the network passed."""

    image_size: int
    reason: str = ""


class StopAfterOneStep(StopRequest):
    """A stop request that becomes true once the run's log has a step."""

    def __init__(self, run_dir: RunDir) -> None:
        super().__init__()
        self._run_dir = run_dir

    @property
    def requested(self) -> bool:
        """Return whether a step was recorded."""
        return b'"steps_taken"' in self._run_dir.events.read_bytes()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="test architectures whose name matches")
    parser.add_argument(
        "--largest", type=float, default=100, help="skip larger networks (million weights)"
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"timm {timm.__version__}, torch {torch.__version__}, {cpu_name()}, fp32.\n")
    print(
        "| module | architecture | network | weights | image | result |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(Path(folder) / "images")
        for (module, architecture), network, parameters in smallest_networks(asked.only):
            if parameters > asked.largest * 1e6:
                size, verdict = "–", f"not tested: above {asked.largest:g} M weights"
            else:
                tried = try_network(network, images, Path(folder))
                size, verdict = f"{tried.image_size} px", tried.reason or "✓"
            weights = f"{parameters / 1e6:.1f} M"
            row = (module, architecture, f"`{network}`", weights, size, verdict)
            print(f"| {' | '.join(row)} |", flush=True)


def smallest_networks(pattern: str = "*") -> Iterator[tuple[tuple[str, str], str, int]]:
    """Yield each architecture with its module, its smallest network and its number of weights."""
    architectures: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for name in timm.list_models():
        module_name = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
        found = ARCHITECTURE.match(name)
        architecture = found[0] if found else name
        if name.startswith("test_") or not fnmatch.fnmatch(architecture, pattern):
            continue
        with torch.device("meta"):
            try:
                module = timm.create_model(name)
            except (NotImplementedError, RuntimeError):  # its constructor computes with tensors
                module = None
        if module is not None:
            size = sum(parameter.numel() for parameter in module.parameters())
            architectures[module_name, architecture].append((size, name))
    for key, sizes in sorted(architectures.items()):
        size, name = min(sizes)
        yield key, name, size


def make_images(root: Path) -> Path:
    """Write three domains with two classes of six noise images each; return their folder."""
    random = np.random.default_rng(0)
    for domain in ("one", "target", "two"):
        for label in ("a", "b"):
            folder = root / domain / label
            folder.mkdir(parents=True)
            for number in range(6):
                pixels = random.integers(0, 256, (SMALL_PX, SMALL_PX, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def try_network(network: str, images: Path, home: Path) -> Tried:
    """Train, stop and resume a network, at a small image size or at its own."""
    config = timm.get_pretrained_cfg(network)
    own_size = config.input_size[-1] if config else 224
    for size in sorted({SMALL_PX, own_size}):
        with tempfile.TemporaryDirectory(dir=home) as runs:  # hundreds of them fill the disk
            reason = _reason_against(network, size, images, Path(runs))
        if not reason or size == own_size or not reason.startswith((CANNOT_BE_MADE, CANNOT_READ)):
            return Tried(size, reason)
    raise AssertionError("a size is always tried")


def _reason_against(network: str, image_size: int, images: Path, home: Path) -> str:
    """Return why a network cannot be used at a size, or an empty string."""
    runs = home / "runs"
    try:
        whole, broken = (
            _make(runs / name, network, image_size, images) for name in ("whole", "broken")
        )
        _do(whole, StopRequest())
        _do(broken, StopAfterOneStep(broken))
        _do(broken, StopRequest())
    except InputError as error:
        reason = str(error).partition(", so ")[0].partition(". ")[0]
        return reason.removeprefix(f"{network} ").replace(network, "it")
    except (RuntimeError, AssertionError, TypeError, AttributeError, ValueError) as error:
        if image_size == SMALL_PX:  # such as a feature map of no pixels
            return f"{CANNOT_BE_MADE} it for {image_size} px: {error}"
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return "" if _measured(whole) == _measured(broken) else "a resumed run differs"


def _make(path: Path, network: str, image_size: int, images: Path) -> RunDir:
    run_dir = RunDir(path)
    fields = {
        "data_dir": str(images), "target": "target", "model": network, "weights": "none",
        "image_size": image_size, "batch_size": 2, "steps": 2, "eval_every": 1, "log_every": 1,
        "head_steps": 0, "precision": "fp32", "memory_format": "contiguous",
        "fold_batchnorm": "on", "device": "cpu",
        "keep_checkpoints": "none",
    }  # fmt: skip
    run_dir.create(resolve_spec(fields), UserData())
    return run_dir


def _do(run_dir: RunDir, stop: StopRequest) -> None:
    log = EventLog(run_dir.events)
    try:
        log.record(run(run_dir, log, stop))
    finally:
        log.close()


def _measured(run_dir: RunDir) -> dict[tuple[object, ...], object]:
    """Return what a run measured; values repeated after a resume count once."""
    values: dict[tuple[object, ...], object] = {}
    for line in run_dir.events.read_bytes().splitlines():
        event = decode_event(line)
        if isinstance(event, StepsTaken):
            values["loss", event.step] = event.loss
        elif isinstance(event, Evaluated):
            for metric in event.metrics:
                values[event.step, metric.split, metric.domain, metric.name] = metric.value
    return values


if __name__ == "__main__":
    main()
