"""Size and time of cached features, before runs compute them.

Times are measured on this machine by a small run on random images with the real network, image size
and settings, so that they are known for networks that were never used here.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from PIL import Image

from engine.cache import limit_bytes, room_bytes
from engine.data import DomainData, RunData, load_data, seed_hash, validation_augmentation
from engine.errors import InputError
from engine.evaluate import evaluate_domains, network_predictor
from engine.features import cached_features
from engine.features.cached import FrozenPart, bytes_of, missing_views
from engine.machine.devices import resolve_device
from engine.model import build_for
from engine.protocol import NO_TARGET, RunSpec, own_arm
from engine.protocol.feature_costs import (
    FeatureCost,
    FeatureCosts,
    FeatureQuestion,
    FeatureSource,
    FeatureTiming,
)
from engine.rundir import RunDir
from engine.train.loop import take_step
from engine.train.setup import Training, fastest_forward, prepare

CLASSES: Final = ("a", "b")
IMAGES_OF_CLASS: Final = 4
"""Random images of each class and domain."""
MORE_IMAGES: Final = 64
"""The same for a device that computes whole batches at once."""
BATCHES: Final = 3
"""Batches of a view on a processor."""
SIDE: Final = 64
"""Of a random image, in pixels."""
TIMED_STEPS: Final = 200
TIMED_S: Final = 1.0
"""Maximum time of the timed steps."""
SHORT_S: Final = 0.3
"""Computing features is timed again with more views if it took less."""
MORE_VIEWS: Final = 8


def feature_costs(asked: FeatureQuestion, has_weights: Callable[[RunSpec], bool]) -> FeatureCosts:
    """Return the cost of features.

    Args:
        asked: the question.
        has_weights: returns whether a run's initial weights are on this machine; others are not
            downloaded.
    """
    cache_dir = Path(asked.cache_dir)
    measured: dict[bytes, FeatureTiming] = {}

    def cost_of(source: FeatureSource) -> FeatureCost:
        cost = _cost(source, cache_dir, is_here=has_weights(source.spec))
        if cost.problem is not None or not (cost.missing or asked.times_steps):
            return cost
        trial = _trial_spec(source)
        key = msgspec.json.encode((trial, source.domains, source.images))
        if key not in measured:
            measured[key] = _measure(trial, source)
        return msgspec.structs.replace(cost, timing=measured[key])

    costs = tuple(map(cost_of, asked.sources))
    return FeatureCosts(costs, room_bytes(cache_dir), limit_bytes(cache_dir))


def _cost(source: FeatureSource, cache_dir: Path, *, is_here: bool) -> FeatureCost:
    """Return the size of features and how many are cached."""
    spec = source.spec
    try:
        device = resolve_device(spec.device)
        seed = seed_hash("network", spec.seed)
        network = build_for(spec, CLASSES, seed=seed, is_pretrained=is_here)
    except InputError as error:
        return FeatureCost(problem=str(error))
    frozen = FrozenPart.of(network)
    array_bytes, arrays = bytes_of((source.images, *frozen.shape)), 1 + (spec.views or 0)
    missing = arrays
    if is_here:
        missing = missing_views(cache_dir, spec, device, frozen, array_bytes)
    return FeatureCost(array_bytes=array_bytes, arrays=arrays, missing=missing)


def _trial_spec(source: FeatureSource) -> RunSpec:
    """Return the spec of a small run that takes as long for an image and a step."""
    spec = source.spec
    has_target = source.domains > 1 and spec.target != NO_TARGET
    # The last layer of a full network is trained on penultimate features.
    kind = "penultimate" if spec.tuning == "full" else spec.linear_features
    return msgspec.structs.replace(
        spec, dataset="trial", data_dir=None, layout="plain", exclude=None, held_out_source=None,
        target="0" if has_target else NO_TARGET, validation_fraction=0.2, skip_bad_images=False,
        weights="none", weights_key=None, tuning="linear", linear_features=kind, views=1,
        gpus=1, nodes=1, seed=0, trial_seed=None, keep_zeros=False,
        outliers=None, outlier_batch_size=None,
    )  # fmt: skip


def _measure(spec: RunSpec, source: FeatureSource) -> FeatureTiming:
    """Time a small run; the first features and steps, which take longer, do not count."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = RunDir(Path(folder) / "runs" / "trial")
        on_cpu = resolve_device(spec.device).type == "cpu"
        of_class = IMAGES_OF_CLASS if on_cpu else MORE_IMAGES
        _write_images(Path(folder) / "images", source.domains, of_class)
        spec = msgspec.structs.replace(spec, data_dir=str(Path(folder) / "images"))
        data = load_data(spec, run_dir.cache)
        training = prepare(spec, data, run_dir, None)
        image_s = _time_features(spec, training, run_dir)
        start_s = _time_start(spec, data, run_dir)
        step_s = _time_steps(spec, training)
        evaluation_s = _time_evaluation(spec, training, source.images // source.domains)
    return FeatureTiming(image_s, start_s, step_s, evaluation_s)


def _write_images(root: Path, domains: int, of_class: int) -> None:
    """Write random images."""
    random = np.random.default_rng(0)
    for domain in range(domains):
        for name in CLASSES:
            folder = root / str(domain) / name
            folder.mkdir(parents=True)
            for number in range(of_class):
                pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")


def _time_start(spec: RunSpec, data: RunData, run_dir: RunDir) -> float:
    """Return the seconds to prepare a run whose features are cached."""
    began = time.perf_counter()
    prepare(spec, data, run_dir, None)
    return time.perf_counter() - began


def _time_features(spec: RunSpec, training: Training, run_dir: RunDir) -> float:
    """Return the seconds to compute the features of an image, without the first batch of a view,
    which prepares the network."""
    data, network, device = training.data, training.network, training.execution.device
    execution = fastest_forward(spec, data, network, device, run_dir)
    images = len(data.image_set)
    batch_size = spec.eval_batch_size if device.type != "cpu" else max(1, images // BATCHES)
    computing_s, computed = 0.0, 0
    last, done_before = 0.0, 0

    def on_progress(done: int, _total: int) -> None:
        nonlocal computing_s, computed, last, done_before
        now = time.perf_counter()
        if done > done_before and done_before % images:
            computing_s += now - last
            computed += done - done_before
        last, done_before = now, done

    for views in (2, 2 + MORE_VIEWS):  # the first is cached
        if computing_s < SHORT_S:
            cached_features(
                network, data, run_dir.cache, lambda: execution, model=spec.model, device=device,
                views=views, transforms=spec.transforms, batch_size=batch_size,
                on_progress=on_progress,
            )  # fmt: skip
            done_before = 0
    return computing_s / computed


def _time_steps(spec: RunSpec, training: Training) -> float:
    """Return the seconds of a training step."""
    training.network.set_training(freeze_batchnorm=spec.freeze_batchnorm)
    take_step(spec, training, 0)
    began = time.perf_counter()
    for step in range(TIMED_STEPS):
        float(take_step(spec, training, min(step, spec.steps - 1)))
        if time.perf_counter() - began > TIMED_S:
            break
    return (time.perf_counter() - began) / (step + 1)


def _time_evaluation(spec: RunSpec, training: Training, images: int) -> float:
    """Return the seconds of an evaluation of domains of so many images each."""
    domains = tuple(_repeated(each, images) for each in training.data.domains)
    data = replace(training.data, domains=domains)
    augmentation = validation_augmentation(spec, data)
    predictor = network_predictor(
        training.network, spec.eval_batch_size, training.execution, augmentation
    )
    for _ in range(2):
        began = time.perf_counter()
        evaluate_domains(predictor, data, own_arm(spec), is_augmented=spec.augment_validation)
    return time.perf_counter() - began


def _repeated(domain: DomainData, images: int) -> DomainData:
    """Return a domain whose images are repeated."""
    indices = np.arange(images)
    held_out = max(1, images // 5)
    return replace(
        domain, rows=np.resize(domain.rows, images),
        labels=torch.from_numpy(np.resize(domain.labels.numpy(), images)),
        in_indices=indices[held_out:], out_indices=indices[:held_out],
    )  # fmt: skip
