"""The events a run reports, one JSON object per line, each a fact in the past tense.

Each attempt begins with :class:`RunStarted` and ends with exactly one of
:data:`TERMINAL_EVENTS`. A resumed run appends to the same file: ``seq`` continues, and steps after
the checkpoint may repeat with the same values.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from engine.protocol.datasets import LeftOut
from engine.protocol.measures import Summary
from engine.protocol.phases import Phase

AUGMENTED: Final = "out_augmented"
"""The split of a source's validation images, augmented by the training transform."""


class Metric(msgspec.Struct, frozen=True):
    """One measured value.

    ``split`` is ``out`` (the validation images of a domain), ``out_augmented`` (the same images,
    augmented), ``in`` (the other images) or ``train`` (training batches). ``domain`` is a domain's
    name. ``arm`` is how the prediction was made (``erm``, ``dropout``, …). ``name`` is
    ``accuracy`` (0 to 1), ``loss`` (nats) or one of ``MEASURES`` (0 to 1). ``value`` is None if it
    is not finite.
    """

    split: str
    domain: str
    arm: str
    name: str
    value: float | None


class DomainInfo(msgspec.Struct, frozen=True):
    """Image counts of a domain and its split. ``is_held_out``: a source that is not trained on."""

    name: str
    is_target: bool
    images: int
    in_images: int
    out_images: int
    is_held_out: bool = False

    @property
    def is_source(self) -> bool:
        """Return whether the domain is trained on, so that ID accuracy is measured on it."""
        return not (self.is_target or self.is_held_out)

    def images_of(self, split: str) -> int:
        """Return the number of images of a split: ``in`` or a validation split."""
        return self.in_images if split == "in" else self.out_images


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all events: ``seq`` counts from 0 in a run, ``time`` is Unix seconds."""

    seq: Annotated[int, msgspec.Meta(le=2**53)] = -1
    time: float = 0.0


class AttemptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended without a terminal event: when (Unix s), exit code and cause.

    The exit code is negative for a signal, and None if unknown. ``on_purpose``: the user had this
    program end it.
    """

    ended_at: float
    exit_code: int | None
    cause: str
    on_purpose: bool = False


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """A process started or resumed the run; ``attempt`` counts from 1.

    ``previous_end``: how the previous attempt ended if it wrote no terminal event. ``birth``
    distinguishes the process from others with the same pid, independent of the clock; None:
    unknown.
    """

    protocol_version: int
    attempt: int
    pid: int
    host: str
    resumed_step: int | None
    versions: dict[str, str]
    commit: str | None
    previous_end: AttemptEnd | None = None
    birth: str | None = None


class DataPrepared(Event, frozen=True, kw_only=True, tag="data_prepared"):
    """The images were decoded and split. ``skipped`` lists unreadable files.

    ``target`` is None if no domain is left out. ``digest`` changes with the names and sizes of the
    images; empty: unknown. ``layout`` is the folder layout, ``table`` for a table; ``reading`` is a
    sentence on it, or empty. ``left_out`` counts ignored files and folders. ``shared_images``
    counts the target's images with the same pixels as an image of a source, as far as known.
    ``outliers`` counts the unlabelled images to abstain on, without unreadable ones, which
    ``skipped_outliers`` lists; None: the run has none.
    """

    dataset: str
    target: str | None
    classes: list[str]
    domains: list[DomainInfo]
    skipped: list[str]
    wall_s: float
    digest: str = ""
    layout: str = ""
    reading: str = ""
    left_out: tuple[LeftOut, ...] = ()
    shared_images: int = 0
    outliers: int | None = None
    skipped_outliers: list[str] = []

    @property
    def sources(self) -> list[DomainInfo]:
        """Return the domains that are trained on."""
        return [domain for domain in self.domains if domain.is_source]


class PhaseReported(Event, frozen=True, kw_only=True, tag="phase_reported"):
    """The run is in a phase that may take long, see :mod:`engine.protocol.phases`.

    Reported when it begins and, at most about a hundred times, while it lasts; the next event of
    another type ends it. Fields as in :class:`engine.protocol.phases.Phase`.
    """

    phase: str
    done: int | None = None
    total: int | None = None
    detail: str = ""
    elapsed_s: float = 0.0
    seconds_left: float | None = None

    def as_phase(self) -> Phase:
        """Return the phase."""
        return Phase(
            self.phase, self.done, self.total, self.detail, self.elapsed_s, self.seconds_left,
            self.time,
        )  # fmt: skip


class SystemSampled(Event, frozen=True, kw_only=True, tag="system_sampled"):
    """The use of the machine, and how the time was spent, after ``step`` updates.

    Everything is since the previous sample of an earlier step, ``interval_s`` ago: shares are
    means, memory (GiB) is the maximum of a reading every few seconds, load and free disk (GiB) are
    of now. ``run_cpu_share`` and ``cpu_share`` are of all processors of the machine;
    ``run_memory_gib`` is the resident memory of all processes of the run here. GPUs are those of
    the run here: mean utilization, sums of memory and of power (W). The shares of ``interval_s``
    add up to 1: ``waiting`` is for the next batch, ``preparing`` everything before the first step.
    None: unknown, or there is no such device.
    """

    step: int
    interval_s: float
    run_cpu_share: float | None = None
    cpu_share: float | None = None
    load: float | None = None
    run_memory_gib: float | None = None
    memory_gib: float | None = None
    disk_left_gib: float | None = None
    gpu_share: float | None = None
    gpu_memory_gib: float | None = None
    gpu_power_w: float | None = None
    preparing_share: float = 0.0
    waiting_share: float = 0.0
    computing_share: float = 0.0
    evaluating_share: float = 0.0
    saving_share: float = 0.0


class PastTraining(msgspec.Struct, frozen=True, kw_only=True):
    """What a network of this program was trained on: the domains left out, and the split."""

    run: str
    dataset: str
    target: str | None
    held_out_source: str | None
    split_seed: int
    validation_fraction: float


class LoadedWeights(msgspec.Struct, frozen=True, kw_only=True):
    """What a network loaded from a weight file; names are those of tensors in the file.

    ``entry`` is the key of the state dict in the file, dotted if nested; empty: the file itself.
    ``prefixes`` were removed from the names, outermost first. ``converted``: timm's conversion for
    this network was applied. ``other_entries`` also contain weights. ``missing`` tensors of the
    network keep their initial values; ``unexpected`` tensors of the file were ignored.
    ``last_layer`` describes the last layer; ``is_kept``: it is the file's. ``sha256`` is of the
    whole file. ``training`` is known for networks of this program.
    """

    file: str
    sha256: str
    entry: str = ""
    is_ema: bool = False
    prefixes: list[str] = []
    converted: bool = False
    other_entries: list[str] = []
    matched: int
    missing: list[str] = []
    unexpected: list[str] = []
    last_layer: str
    is_kept: bool = False
    training: PastTraining | None = None


class FeaturesComputed(Event, frozen=True, kw_only=True, tag="features_computed"):
    """``done`` of ``total`` images have features of the frozen network; each view counts.

    Reported at the end; earlier versions reported it every few seconds as well. ``reused`` of them
    were cached before. At the end, ``size_bytes`` is the size of all features, and ``notes`` say
    what the user should know, such as a damaged cache.
    """

    done: int
    total: int
    wall_s: float
    reused: int = 0
    size_bytes: int | None = None
    notes: tuple[str, ...] = ()


FOLDED: Final = " folded"
"""Suffix of the name of an execution that folds BatchNorm."""


def execution_name(precision: str, memory_format: str, folds_batchnorm: bool) -> str:
    """Return the name of a way to compute a training step, the key of ``step_ms``."""
    return f"{precision} {memory_format}{FOLDED if folds_batchnorm else ''}"


class ModelPrepared(Event, frozen=True, kw_only=True, tag="model_prepared"):
    """The network is on its device. ``feature_rms`` is the root mean square of a feature.

    ``step_ms``: measured milliseconds per step of each ``execution`` tried, empty if there was
    nothing to choose; ``under_load``: measured while other programs used the machine. ``timing_s``:
    how long the measurement took in this attempt; None: unknown (older versions).
    ``seconds_left`` is an estimate for the whole run. ``ranks`` is the number of training
    processes, each on such a device with ``threads`` CPU threads. ``loaded`` describes the weight
    file; None: the weights are not a file. ``precision`` is that of training.
    ``evaluation_precision`` is fp32; None in older runs, which evaluated in the training precision.
    ``folds_batchnorm``: BatchNorm is folded into convolutions in training steps. ``sparsity`` is
    the share of zeros in the weights that may be pruned, 0 to 1; None: zeros are not kept.
    """

    model: str
    weights: str
    parameters: int
    feature_dim: int
    feature_rms: float
    device: str
    device_name: str
    precision: str
    memory_format: str
    threads: int
    step_ms: dict[str, float]
    seconds_left: float | None
    ranks: int = 1
    loaded: LoadedWeights | None = None
    under_load: bool = False
    timing_s: float | None = None
    evaluation_precision: str | None = None
    folds_batchnorm: bool = False
    sparsity: float | None = None

    @property
    def execution(self) -> str:
        """Return the name of the execution that training uses."""
        return execution_name(self.precision, self.memory_format, self.folds_batchnorm)


class HeadTrained(Event, frozen=True, kw_only=True, tag="head_trained"):
    """The last layer was trained on cached features, with all other weights frozen."""

    steps: int
    loss: float | None
    wall_s: float


class HeadRefined(Event, frozen=True, kw_only=True, tag="head_refined"):
    """The last layer of the selected step's network was trained further, on ``images`` images.

    ``loss`` (nats) is the mean over the last tenth of the ``steps``, under dropout.
    """

    steps: int
    images: int
    loss: float | None
    wall_s: float


class StepsTaken(Event, frozen=True, kw_only=True, tag="steps_taken"):
    """``step`` updates are done; ``loss`` (nats) is the mean since the previous event.

    ``lr``, ``head_lr`` and ``dropout_rate`` (λ; None: recorded by an older version) are those of
    the last update. ``seconds_left`` includes the remaining evaluations.
    """

    step: int
    loss: float | None
    lr: float
    head_lr: float
    steps_per_s: float
    images_per_s: float
    elapsed_s: float
    seconds_left: float | None
    dropout_rate: float | None = None


class Evaluated(Event, frozen=True, kw_only=True, tag="evaluated"):
    """Accuracies after ``step`` updates.

    ``id_accuracy`` is the mean over source domains on their ``out`` split, augmented if the run
    augments it; ``plain_id_accuracy`` is then the mean without augmentation, otherwise None.
    ``ood_accuracy`` is on the target's ``in`` split (as DomainBed reports), None without a target.
    ``selection_score`` is the measure that selects the step, on the images of ``id_accuracy``;
    None: ``id_accuracy`` does. ``is_best``: no earlier step had a higher one. ``collapsed``: a
    single class is predicted; None: unknown (too early, or recorded by an older version).
    ``measures`` are the values of ``MEASURES`` on the images of ``plain_id_accuracy`` and
    ``ood_accuracy``; empty in runs of earlier versions.
    """

    step: int
    metrics: list[Metric]
    id_accuracy: float
    ood_accuracy: float | None
    is_best: bool
    wall_s: float
    collapsed: bool | None = None
    plain_id_accuracy: float | None = None
    measures: Summary = {}
    selection_score: float | None = None


class ArmEvaluated(Event, frozen=True, kw_only=True, tag="arm_evaluated"):
    """Accuracies of an additional arm after ``step`` updates.

    Fields as in :class:`Evaluated`; ``is_best`` is among the evaluations of this arm.
    """

    step: int
    arm: str
    metrics: list[Metric]
    id_accuracy: float
    ood_accuracy: float | None
    is_best: bool
    wall_s: float
    plain_id_accuracy: float | None = None
    measures: Summary = {}
    selection_score: float | None = None


class BarrierMeasured(Event, frozen=True, kw_only=True, tag="barrier_measured"):
    """The loss barrier at the midpoint between two networks was measured.

    ``loss_barrier`` (nats; None if not finite) and ``accuracy_barrier`` (fraction) compare the
    midpoint with the mean of the two ends on the sources' validation images. ``is_barrier``: the
    midpoint's accuracy is so much lower that the networks are not in one basin. The barriers of the
    path, at least 0, are the largest over all points of an interpolation, compared with the line
    between the ends; None: only the midpoint was evaluated, or a value is not finite.
    """

    first: str
    second: str
    loss_barrier: float | None
    accuracy_barrier: float
    is_barrier: bool
    path_loss_barrier: float | None = None
    path_accuracy_barrier: float | None = None


class ParentMeasured(Event, frozen=True, kw_only=True, tag="parent_measured"):
    """A parent was evaluated on the sources' validation images.

    ``selection_score`` ranks it, as in :class:`Evaluated`.
    """

    parent: str
    id_accuracy: float
    selection_score: float | None = None


class ParentTried(Event, frozen=True, kw_only=True, tag="parent_tried"):
    """A network was tried in a greedy soup, and kept or not.

    ``soup_accuracy`` is the ID accuracy of the soup that includes it; ``selection_score`` decides,
    as in :class:`Evaluated`.
    """

    parent: str
    soup_accuracy: float
    is_kept: bool
    selection_score: float | None = None


class AnglesMeasured(Event, frozen=True, kw_only=True, tag="angles_measured"):
    """Model Stock measured how far apart the parents moved from their pre-trained weights.

    The means are over the ``tensors`` that moved in two parents or more: of the angle (degrees),
    and of the share of the parents' mean in the result (0 to 1); None: there are none.
    """

    tensors: int
    mean_angle_deg: float | None
    mean_share: float | None


class Cautioned(Event, frozen=True, kw_only=True, tag="cautioned"):
    """A warning about the reliability of the run's results."""

    message: str


class CheckpointSaved(Event, frozen=True, kw_only=True, tag="checkpoint_saved"):
    """A checkpoint is on disk; ``file`` is relative to the run folder.

    ``kind`` is ``last``, ``best`` or the name of the arm whose network it holds.
    """

    step: int
    kind: str
    file: str
    bytes: int


class CollapseDetected(Event, frozen=True, kw_only=True, tag="collapse_detected"):
    """Validation found a single predicted class and a loss near the class entropy."""

    step: int
    predicted_class: str
    share: float
    loss: float
    class_entropy: float
    advice: str


class RunFinished(Event, frozen=True, kw_only=True, tag="run_finished"):
    """All steps are done; the selected step is the best on ID validation, see ``select_on``.

    Accuracies as in :class:`Evaluated`.
    """

    step: int
    selected_step: int
    id_accuracy: float
    ood_accuracy: float | None
    wall_s: float
    peak_memory_bytes: int
    plain_id_accuracy: float | None = None


class RunStopped(Event, frozen=True, kw_only=True, tag="run_stopped"):
    """The run stopped on request, saved a checkpoint and can be resumed."""

    step: int
    reason: str
    wall_s: float


class RunFailed(Event, frozen=True, kw_only=True, tag="run_failed"):
    """The run ended with an error, at ``step`` if it concerns one.

    ``refused``: the input was invalid and nothing ran.
    """

    error: str
    message: str
    traceback: str
    step: int | None
    refused: bool


AnyEvent = (
    RunStarted
    | DataPrepared
    | PhaseReported
    | SystemSampled
    | FeaturesComputed
    | ModelPrepared
    | HeadTrained
    | HeadRefined
    | StepsTaken
    | Evaluated
    | ArmEvaluated
    | BarrierMeasured
    | ParentMeasured
    | ParentTried
    | AnglesMeasured
    | Cautioned
    | CheckpointSaved
    | CollapseDetected
    | RunFinished
    | RunStopped
    | RunFailed
)

EVENT_TYPES: tuple[type[Event], ...] = AnyEvent.__args__
TERMINAL_EVENTS: tuple[type[Event], ...] = (RunFinished, RunStopped, RunFailed)


class EventDecodeError(ValueError):
    """A line that is not an event of this protocol."""


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode_event(event: Event) -> bytes:
    """Return the event as one line of JSON, newline included."""
    return _encoder.encode(event) + b"\n"


def decode_event(line: bytes) -> AnyEvent:
    """Read one line.

    Raises:
        EventDecodeError: if the line is damaged or its type is unknown.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventDecodeError(str(error)) from None
