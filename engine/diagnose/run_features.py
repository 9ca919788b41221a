"""What diagnostics read of a finished run: features, logits and labels of its images.

They are of the network at the run's selected step and of the initial network, which it started
from, on images without augmentation, from the feature cache or computed into it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.data import RunData, groups_of, seed_hash
from engine.diagnose.arm_predictions import ArmsOnTarget, read_arms_on_target
from engine.diagnose.inputs import check_features
from engine.diagnose.other_seed import OtherSeed, halfway_logits, trained_rows
from engine.diagnose.stages import MOST_IMAGES, evenly_spaced, stage_features
from engine.errors import InputError
from engine.execution import Execution, folds_inference
from engine.features import cached_features
from engine.inference.classifier import load_classifier
from engine.inference.split import load_split
from engine.machine.devices import resolve_device
from engine.model import FineTunedNetwork, build_network
from engine.model.linear import FrozenNetwork
from engine.protocol import CombinationSpec, RunSpec, own_arm, spec_of
from engine.protocol.diagnostics import DiagnoseRun
from engine.protocol.work import WorkNote
from engine.rundir import RunDir
from engine.train.checkpoint import read_abstention
from engine.work import Reporter, progress_of

StagePair = tuple[Tensor, Tensor]
"""Features (n, C) of a stage of the run's and of the initial network."""


_OF_START: Final = (
    "model", "weights", "weights_key", "image_size", "tuning", "linear_start", "linear_features",
)  # fmt: skip
"""The fields of a run that determine its network before training."""


class DomainFeatures(NamedTuple):
    """Features of some images of one domain in the initial network.

    Attributes:
        domain: its name.
        split: see :class:`SplitFeatures`; ``all``: every image.
        features: penultimate features, (n, D) float32.
        groups: see :class:`SplitFeatures`.
    """

    domain: str
    split: str
    features: Tensor
    groups: Tensor | None = None

    @property
    def images(self) -> int:
        """Return n."""
        return len(self.features)


@dataclass(frozen=True)
class SplitFeatures:
    """The n images of one split of one domain.

    Attributes:
        domain: its name.
        split: ``in`` (training images of a source) or ``out`` (its validation images).
        is_target: the domain was left out of training.
        rows: of the images in the data set, (n,) int64.
        labels: classes, (n,) int64.
        features: penultimate features of the run's network, (n, D) float32.
        logits: of the run's network, (n, C) float32.
        start: penultimate features of the initial network, (n, D') float32; None: not read.
        groups: number of each image's group, such as its video, (n,) int64; None: no groups.
        abstaining: probability of the class "abstain", (n,) float64; None: there is none.
    """

    domain: str
    split: str
    is_target: bool
    rows: Tensor
    labels: Tensor
    features: Tensor
    logits: Tensor
    start: Tensor | None
    groups: Tensor | None = None
    abstaining: Tensor | None = None

    @property
    def is_right(self) -> Tensor:
        """Return whether each image is classified correctly, (n,) bool."""
        return self.logits.argmax(dim=1) == self.labels

    @property
    def accuracy(self) -> float:
        """Return the share classified correctly."""
        return float(self.is_right.double().mean())

    def sample(self, images: int) -> SplitFeatures:
        """Return ``images`` of the images at most, evenly spaced."""
        at = evenly_spaced(len(self.labels), images)
        return replace(
            self,
            rows=self.rows[at],
            labels=self.labels[at],
            features=self.features[at],
            logits=self.logits[at],
            start=None if self.start is None else self.start[at],
            groups=None if self.groups is None else self.groups[at],
            abstaining=None if self.abstaining is None else self.abstaining[at],
        )

    @property
    def images(self) -> int:
        """Return n."""
        return len(self.labels)

    @property
    def before(self) -> Tensor:
        """Return ``start`` of a diagnostic that declares to read it."""
        if self.start is None:
            raise AssertionError("the diagnostic declares that it reads them")
        return self.start

    @property
    def before_training(self) -> DomainFeatures:
        """Return the images with the features of :attr:`before`."""
        return DomainFeatures(self.domain, self.split, self.before, self.groups)


@dataclass(frozen=True)
class RunFeatures:
    """What diagnostics read of a run.

    Attributes:
        run_id: of the run.
        classes: their names, in the order of the logits.
        weight: of the last layer, (C, D).
        bias: of the last layer, (C,); None: it has none.
        splits: of all sources and the target.
        scratch: ID and OOD accuracy of runs from scratch.
        paths: of every image in the data set, in order of rows.
        other_seed: a network of another seed; None: there is none, or it was not read.
        stages: of some images of :meth:`equally_many`, by domain and name of the stage.
        arm: how the run's own network predicts.
        step: number of updates of that network; None: it is a combination.
        arms: what the additional arms predict on the target; without any, they were not read.
    """

    run_id: str
    classes: tuple[str, ...]
    weight: Tensor
    bias: Tensor | None
    splits: tuple[SplitFeatures, ...]
    scratch: tuple[tuple[float, float], ...] = ()
    paths: tuple[str, ...] = ()
    other_seed: OtherSeed | None = None
    stages: Mapping[str, Mapping[str, StagePair]] = field(default_factory=dict)
    arm: str = ""
    step: int | None = None
    arms: ArmsOnTarget = field(default_factory=ArmsOnTarget)

    def sources(self, split: str) -> list[SplitFeatures]:
        """Return a split of each source, in order."""
        return [each for each in self.splits if each.split == split and not each.is_target]

    @cached_property
    def target(self) -> SplitFeatures | None:
        """Return the images of OOD accuracy; None: no domain was left out."""
        found = (each for each in self.splits if each.is_target and each.split == "in")
        return next(found, None)

    @property
    def accuracies(self) -> tuple[float, float | None]:
        """Return the mean accuracy over the sources' validation images, and that of the target."""
        of_sources = [each.accuracy for each in self.sources("out")]
        mean = sum(of_sources) / len(of_sources)
        return mean, None if self.target is None else self.target.accuracy

    def equally_many(self) -> list[SplitFeatures]:
        """Return the sources' training images and the target's, the same number of each.

        They are evenly spaced. For measures that do not look at labels but depend on the number of
        images; there are more training than validation images.
        """
        splits = [*self.sources("in"), *([] if self.target is None else [self.target])]
        fewest = min(len(each.labels) for each in splits)
        return [each.sample(fewest) for each in splits]

    def judged(self) -> list[SplitFeatures]:
        """Return the images of ID values, by source, and those of OOD values."""
        return [*self.sources("out"), *([] if self.target is None else [self.target])]


@dataclass(frozen=True)
class FeatureSource:
    """A run whose features can be read: its network, images and digests.

    Raises:
        InputError: see :meth:`open`.
    """

    run_dir: RunDir
    spec: RunSpec
    network: FineTunedNetwork
    data: RunData
    classes: tuple[str, ...]
    arm: str
    step: int | None
    checkpoint: str
    device: torch.device
    batch_size: int
    scratch: tuple[tuple[float, float], ...] = ()

    @cached_property
    def arms(self) -> ArmsOnTarget:
        """Return what the additional arms predict on the target, read on first use."""
        return read_arms_on_target(self.run_dir, self.spec, self.data.target)

    @classmethod
    def open(cls, request: DiagnoseRun, report: Reporter) -> FeatureSource:
        """Load a run's network and images.

        Raises:
            InputError: if the run has no checkpoint at its selected step, is an ensemble, or its
                images are missing or have changed since.
        """
        if request.threads is not None:
            torch.set_num_threads(request.threads)
        run_dir = RunDir(Path(request.run_dir))
        device = resolve_device(request.device)
        refuse_ensemble(run_dir)
        classifier = load_classifier(run_dir, device=device, calibrate=False)
        task = run_dir.read_task()
        spec = spec_of(task)
        data = load_split(run_dir, None, "best", progress_of(report, "reading images", "images"))
        [network] = classifier.networks
        return cls(
            run_dir, spec, network, data, classifier.classes, own_arm(task), classifier.step,
            classifier.checkpoint, device, request.batch_size, request.scratch,
        )  # fmt: skip

    def start_network(self) -> FineTunedNetwork:
        """Return the network as it was before training, without its last layer's weights.

        Raises:
            InputError: if its weights are no longer available.
        """
        spec = self.spec
        is_random = spec.weights == "none"  # otherwise the seed is of the last layer only
        seed = seed_hash("network", spec.seed if is_random else 0)
        named = {name: getattr(spec, name) for name in _OF_START}
        return _start_network(classes=len(self.classes), seed=seed, **named)

    def read(
        self, start: FineTunedNetwork | None, report: Reporter, *, has_stages: bool = False
    ) -> RunFeatures:
        """Return the features of the run's images, and those of ``start``, its first network.

        ``has_stages``: read the stages of both as well.

        Raises:
            InputError: if what a network computes is NaN or infinite.
        """
        features, logits = self._of(self.network, "features of the run's network", report)
        check_features(logits, "logits of the run's network")  # its predictions mean nothing then
        before = None
        if start is not None:
            before, _ = self._of(start, "features of the initial network", report)
        groups = groups_of(self.data.image_set)
        abstaining = self._abstaining(features, logits)
        splits = []
        for domain in self.data.domains:
            if domain.is_held_out:
                continue
            for split, indices in (("in", domain.in_indices), ("out", domain.out_indices)):
                rows = torch.from_numpy(domain.rows[indices])
                splits.append(
                    SplitFeatures(
                        domain.name, split, domain.is_target, rows,
                        domain.labels[torch.from_numpy(indices)], features[rows], logits[rows],
                        None if before is None else before[rows],
                        None if groups is None else groups[rows],
                        None if abstaining is None else abstaining[rows],
                    )
                )  # fmt: skip
        run = RunFeatures(
            self.run_dir.run_id, self.classes, self.network.head.weight.detach(),
            _bias_of(self.network), tuple(splits), self.scratch,
            tuple(file.path for file in self.data.image_set.files),
            arm=self.arm, step=self.step,
        )  # fmt: skip
        if start is None or not has_stages:
            return run
        return replace(run, stages=self._stages(run, start, report))

    def _abstaining(self, features: Tensor, logits: Tensor) -> Tensor | None:
        """Return the probability of abstaining on each image, (N,) float64, if the run can."""
        row = read_abstention(self.run_dir, self.step)
        if row is None:
            return None
        abstain = features.double() @ row["weight"][0].double() + row["bias"].double()
        return (abstain - logits.double().logsumexp(dim=1)).sigmoid()

    def read_other(self, other: FeatureSource, report: Reporter) -> OtherSeed:
        """Return what the run of another seed predicts on this run's images.

        Raises:
            InputError: if what its network computes is NaN or infinite.
        """
        features, logits = self._of(other.network, "features of the other seed", report)
        check_features(logits, "logits of the other seed")
        execution = self._execution()
        halfway = halfway_logits(
            self.network, other.network, self.data, execution, self.batch_size,
            progress_of(report, "network halfway to the other seed", "images"),
        )  # fmt: skip
        return OtherSeed(other.run_dir.run_id, features, logits, trained_rows(other.data), halfway)

    def _stages(
        self, run: RunFeatures, start: FineTunedNetwork, report: Reporter
    ) -> dict[str, dict[str, StagePair]]:
        """Return the stages of both networks on some of the images of each domain."""
        rows = {each.domain: each.sample(MOST_IMAGES).rows for each in run.equally_many()}
        now, before = (
            stage_features(
                network, self.data, torch.cat([*rows.values()]), self._execution(),
                self.batch_size, progress_of(report, f"stages of the {which} network", "images"),
            )
            for network, which in ((self.network, "run's"), (start, "initial"))
        )  # fmt: skip
        counts = [len(each) for each in rows.values()]
        found: dict[str, dict[str, StagePair]] = {domain: {} for domain in rows}
        for name in now:
            pairs = zip(now[name].split(counts), before[name].split(counts), strict=True)
            for domain, pair in zip(rows, pairs, strict=True):
                found[domain][name] = pair
        return found

    def _of(self, network: FineTunedNetwork, what: str, report: Reporter) -> tuple[Tensor, Tensor]:
        """Return a network's penultimate features and logits of all images, in order of rows.

        Raises:
            InputError: if features are NaN or infinite.
        """
        found = cached_features(
            network, self.data, self.run_dir.cache, self._execution,
            model=self.spec.model, device=self.device, batch_size=self.batch_size,
            on_progress=progress_of(report, what, "images"),
        )  # fmt: skip
        for note in found.notes:
            report(WorkNote(note))
        network.module.to("cpu").eval()
        cached = torch.from_numpy(np.array(found.features.plain.array))
        with torch.inference_mode():
            features = _penultimate(network, cached).clone()
            check_features(features, what)
            return features, network.head(features).float()

    def _execution(self) -> Execution:
        return Execution(
            self.device, "fp32", "channels_last", folds_inference=folds_inference(self.spec)
        )


@functools.lru_cache(maxsize=1)
def _start_network(**settings: Any) -> FineTunedNetwork:
    """Return a network before training; runs of a study share it."""
    return build_network(**settings, for_inference=True)


def _bias_of(network: FineTunedNetwork) -> Tensor | None:
    bias: Tensor | None = network.head.bias
    return None if bias is None else bias.detach()


def refuse_ensemble(run_dir: RunDir) -> None:
    """Check that a run has one network.

    Raises:
        InputError: if it averages the logits of several.
    """
    task = run_dir.read_task() if run_dir.spec.is_file() else None
    if isinstance(task, CombinationSpec) and own_arm(task) == "ensemble":
        members = " ".join(each.run_id for each in task.combination.parents if each.run_id)
        raise InputError(
            f"Run {run_dir.run_id} is an ensemble of several networks, which have no features in "
            f"common. Diagnose its runs: {members}"
        )


def _penultimate(network: FineTunedNetwork, cached: Tensor) -> Tensor:
    """Return what the last layer reads, (N, D), of cached features."""
    module = network.module
    if not isinstance(module, FrozenNetwork):
        return cached
    parts = cached.split(1024)
    return torch.cat([module.forward_head(each, pre_logits=True) for each in parts])
