"""A finished run's training images, ranked by how much its networks doubt their labels."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data import FrozenFeatures, RunData
from engine.data.batches import send
from engine.data.frozen import Indices
from engine.datasets.check import inspect_images
from engine.datasets.duplicates import near_duplicates, same_content
from engine.errors import InputError
from engine.evaluate.label_losses import label_excess, of_labels, wrong_label_quantile
from engine.evaluate.predictions import encode_picture
from engine.execution import Execution
from engine.features import cached_features
from engine.inference.classifier import Classifier, load_classifier
from engine.inference.session import refusing_large_batches
from engine.inference.split import load_split
from engine.machine.devices import device_name, resolve_device
from engine.model.linear import FrozenNetwork
from engine.protocol import CombinationSpec
from engine.protocol.inference import At
from engine.protocol.suspects import (
    FEWEST_LISTED,
    MOST_LISTED,
    MOST_TWINS,
    FindSuspects,
    Suspect,
    Suspects,
    Twin,
    UsedCheckpoint,
)
from engine.rundir import RunDir
from engine.rundir.checkpoints import checkpoint_files
from engine.work import Progress, Reporter, progress_of

MOST_PICTURES: Final = 96
"""Images that are stored with a picture."""
STEPS: Final[tuple[At, ...]] = ("best", "last")
"""The checkpoints that a run keeps, in the order of preference."""


class TrainingImages(NamedTuple):
    """The images that a run trained on.

    ``rows`` are those of the data set, ``indices`` those of the domain; all have N entries.
    """

    rows: Indices
    domains: tuple[str, ...]
    indices: Indices
    labels: Tensor


@dataclass(frozen=True)
class Ranking:
    """The training images of a run and how their labels fit.

    Attributes:
        checkpoints: the K checkpoints that are used.
        data: the run's images.
        images: the N training images.
        logits: (N, C) float32 of each checkpoint.
        device: where the networks computed.
    """

    checkpoints: tuple[UsedCheckpoint, ...]
    data: RunData
    images: TrainingImages
    logits: tuple[Tensor, ...]
    device: str

    @cached_property
    def excess(self) -> Tensor:
        """Return the excess loss of every label, (N, C)."""
        return label_excess(self.logits)

    @cached_property
    def scores(self) -> Tensor:
        """Return the excess loss of the given labels, (N,)."""
        return of_labels(self.excess, self.images.labels)

    def threshold(self, quantile: float) -> float:
        """Return a quantile of the excess losses of wrong labels."""
        return wrong_label_quantile(self.excess, self.images.labels, quantile)


def find_suspects(request: FindSuspects, report: Reporter) -> Suspects:
    """Rank the training images of a run.

    Only images of the sources are read: neither the target nor its labels have an effect.

    Raises:
        InputError: as :func:`rank_images`.
    """
    ranking = rank_images(request, report)
    data, images, scores = ranking.data, ranking.images, ranking.scores
    threshold = ranking.threshold(request.quantile)
    suspects = int((scores >= threshold).sum())
    count = min(len(scores), max(FEWEST_LISTED, min(suspects, MOST_LISTED)))
    chosen = scores.argsort(descending=True, stable=True)[:count].tolist()
    twins = _find_twins(
        data, [int(images.rows[at]) for at in chosen], request.near_distance,
        progress_of(report, "comparing images", "images"),
    )  # fmt: skip
    return Suspects(
        dataset=data.name,
        where=str(data.image_set.location),
        data_digest=data.digest,
        made_at=time.time(),
        checkpoints=ranking.checkpoints,
        quantile=request.quantile,
        threshold=threshold,
        images=len(scores),
        suspects=suspects,
        listed=tuple(_describe(ranking, threshold, chosen, twins)),
        classes=data.classes,
        near_distance=request.near_distance,
        device=ranking.device,
    )


def rank_images(request: FindSuspects, report: Reporter) -> Ranking:
    """Compute the losses of a run's training images.

    Raises:
        InputError: if the run has no checkpoints, or its images are missing or have changed.
    """
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    run_dir = RunDir(Path(request.run_dir))
    device = resolve_device(request.device)
    used = _load_checkpoints(run_dir, device)
    reading = progress_of(report, "reading training images", "images")
    data = load_split(run_dir, None, next(iter(used)), reading)
    images = _training_images(data)
    computing = progress_of(report, "computing losses", "images")
    logits = _predict([*used.values()], data, images, request, run_dir, computing)
    checkpoints = (UsedCheckpoint(at, each.step, each.checkpoint) for at, each in used.items())
    return Ranking(tuple(checkpoints), data, images, tuple(logits), device_name(device))


def _load_checkpoints(run_dir: RunDir, device: torch.device) -> dict[At, Classifier]:
    """Return the run's own networks at different steps.

    Raises:
        InputError: if there is none.
    """
    kept = [at for at in STEPS if (run_dir.checkpoints / f"{at}.safetensors").is_file()]
    if not kept or isinstance(run_dir.read_task(), CombinationSpec):
        checkpoint_files(run_dir, None, "best")  # raises, except for an ensemble of networks
        kept = ["best"]
    used: dict[At, Classifier] = {}
    for at in kept:
        classifier = load_classifier(run_dir, at=at, device=device, calibrate=False)
        if all(classifier.step != other.step for other in used.values()):
            used[at] = classifier
    return used


def _training_images(data: RunData) -> TrainingImages:
    """Return the training images by domain, each in the order of the files."""
    indices = [np.sort(source.in_indices) for source in data.sources]
    pairs = [*zip(data.sources, indices, strict=True)]
    return TrainingImages(
        np.concatenate([source.rows[at] for source, at in pairs]),
        tuple(source.name for source, at in pairs for _ in at),
        np.concatenate(indices),
        torch.cat([source.labels[torch.from_numpy(at)] for source, at in pairs]),
    )


def _predict(
    classifiers: Sequence[Classifier],
    data: RunData,
    images: TrainingImages,
    request: FindSuspects,
    run_dir: RunDir,
    on_progress: Progress,
) -> list[Tensor]:
    """Return the logits (N, C) of the training images at each checkpoint, without dropout.

    Raises:
        InputError: if the device has too little memory, or a logit is not finite.
    """
    first = classifiers[0]
    device = next(first.parameters()).device
    parts: list[list[Tensor]] = [[] for _ in classifiers]
    with refusing_large_batches(device, request.batch_size), torch.inference_mode():
        frozen = _frozen_features(first, data, request, run_dir, device, on_progress)
        for start in range(0, len(images.rows), request.batch_size):
            rows = images.rows[start : start + request.batch_size]
            if frozen is not None:
                inputs = send(frozen.take(rows), device)
            else:
                pixels = torch.from_numpy(data.domains[0].cached.take(rows))
                inputs = first.normalise(send(pixels, device))
            for each, classifier in zip(parts, classifiers, strict=True):
                with classifier.folded(frozen is None):
                    each.append(classifier(inputs).cpu())
            if frozen is None:
                on_progress(start + len(rows), len(images.rows))
    logits = [torch.cat(each) for each in parts]
    for values, classifier in zip(logits, classifiers, strict=True):
        if not values.isfinite().all():
            raise InputError(
                f"The output of run {run_dir.run_id} at step {classifier.step} is not finite (NaN "
                "or infinite), so losses cannot be compared. Use another run."
            )
    return logits


def _frozen_features(
    classifier: Classifier,
    data: RunData,
    request: FindSuspects,
    run_dir: RunDir,
    device: torch.device,
    on_progress: Progress,
) -> FrozenFeatures | None:
    """Return the cached features that a linear network reads; None for other networks."""
    if len(classifier.networks) > 1 or not isinstance(classifier.networks[0].module, FrozenNetwork):
        return None
    return cached_features(
        classifier.networks[0],
        data,
        run_dir.cache,
        lambda: Execution(device, "fp32", "channels_last", folds_inference=True),
        model=classifier.card.model,
        device=device,
        batch_size=request.batch_size,
        on_progress=on_progress,
    ).features


def _find_twins(
    data: RunData, rows: Sequence[int], near_distance: int, on_progress: Progress
) -> dict[int, list[Twin]]:
    """Return the identical and similar images of the sources of each of some rows.

    They are found as in :func:`engine.datasets.check.check_images`.
    """
    image_set = data.image_set
    searched = np.sort(np.concatenate([source.rows for source in data.sources])).tolist()
    inspected = dict(
        zip(
            searched,
            inspect_images(image_set, searched, on_progress, with_signatures=near_distance > 0),
            strict=True,
        )
    )
    every = [inspected.get(row) for row in range(len(image_set))]
    digests = [each.digest if each is not None else "" for each in every]
    signatures = [each.signature if each is not None else None for each in every]
    near = near_duplicates(image_set, digests, signatures, near_distance)
    row_of = {image_set.files[row].path: row for row in searched}
    pairs: list[tuple[int, int, Literal["identical", "copy", "similar"]]] = []
    for group in same_content(digests):
        pairs += [(one, other, "identical") for one in group for other in group if one != other]
    for pair in near.within:
        pairs.append((row_of[pair.one], row_of[pair.other], "copy"))
    for pair in near.across:
        pairs.append((row_of[pair.one], row_of[pair.other], "similar"))
    return _twins_of(data, set(rows), pairs)


def _twins_of(
    data: RunData,
    wanted: set[int],
    pairs: Iterable[tuple[int, int, Literal["identical", "copy", "similar"]]],
) -> dict[int, list[Twin]]:
    """Return the twins of the wanted rows; those with another label come first."""
    files = data.image_set.files
    found: dict[int, dict[int, Twin]] = defaultdict(dict)
    for one, other, kind in pairs:
        for row, twin in ((one, other), (other, one)):
            if row in wanted:
                file = files[twin]
                found[row].setdefault(twin, Twin(file.path, file.domain, file.class_name, kind))
    return {
        row: sorted(twins.values(), key=lambda twin: twin.class_name == files[row].class_name)[
            :MOST_TWINS
        ]
        for row, twins in found.items()
    }


def _describe(
    ranking: Ranking,
    threshold: float,
    chosen: Sequence[int],
    twins: Mapping[int, Sequence[Twin]],
) -> Iterator[Suspect]:
    """Yield the chosen training images, in order."""
    data, images, logits = ranking.data, ranking.images, ranking.logits
    shares = logits[0][chosen].double().softmax(dim=1)
    labels = images.labels[chosen]
    losses = torch.stack([-each[chosen].double().log_softmax(dim=1) for each in logits]).mean(dim=0)
    for place, at in enumerate(chosen):
        row, label = int(images.rows[at]), int(labels[place])
        predicted = int(shares[place].argmax())
        score = float(ranking.scores[at])
        has_picture = place < MOST_PICTURES
        yield Suspect(
            path=data.image_set.files[row].path,
            domain=images.domains[at],
            index=int(images.indices[at]),
            class_name=data.classes[label],
            label_probability=float(shares[place, label]),
            predicted=data.classes[predicted],
            probability=float(shares[place, predicted]),
            loss=float(losses[place, label]),
            random_loss=float(losses[place].mean()),
            score=score,
            is_suspect=score >= threshold,
            twins=tuple(twins.get(row, ())),
            picture=_picture(data, row) if has_picture else b"",
        )


def _picture(data: RunData, row: int) -> bytes:
    return encode_picture(data.domains[0].cached.take(np.array([row]))[0])
