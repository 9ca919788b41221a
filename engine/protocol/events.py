"""What a run says while it lives: one JSON object a line, each a fact in the past tense.

The first event of a life is :class:`RunStarted`; the last is exactly one of
:data:`TERMINAL_EVENTS`. A resumed run appends to the same file: ``seq`` goes on, steps may
repeat from the checkpoint it resumed at, with the same values.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from engine.protocol.datasets import LeftOut

AUGMENTED: Final = "out_augmented"
"""The split of a source's validation images as the training transform changes them."""


class Metric(msgspec.Struct, frozen=True):
    """One measured value.

    ``split`` is ``out`` (the held-out validation share of a domain), ``out_augmented`` (the same
    images, augmented), ``in`` (the rest) or ``train`` (batches as trained on). ``domain`` is a
    domain's name. ``arm`` says how the prediction was made (``erm``, ``dropout``). ``name`` is
    ``accuracy`` (0 to 1) or ``loss`` (nats). A value that is not finite is None.
    """

    split: str
    domain: str
    arm: str
    name: str
    value: float | None


class DomainInfo(msgspec.Struct, frozen=True):
    """One domain and its split: numbers of images. A source that ``is_held_out`` trains nothing."""

    name: str
    is_target: bool
    images: int
    in_images: int
    out_images: int
    is_held_out: bool = False

    @property
    def is_source(self) -> bool:
        """Say whether the domain is trained on, so that ID accuracy is measured on it."""
        return not (self.is_target or self.is_held_out)

    def images_of(self, split: str) -> int:
        """Return how many images a split has: ``in``, or one of the held-out validation share."""
        return self.in_images if split == "in" else self.out_images


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event carries: ``seq`` counts from 0 in a run, ``time`` is Unix seconds."""

    seq: Annotated[int, msgspec.Meta(le=2**53)] = -1
    time: float = 0.0


class AttemptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended that said no last word: when (Unix s), with which exit code, and why.

    The exit code is negative for a signal, and None where nobody waited for it. ``on_purpose``: a
    user had this program end it.
    """

    ended_at: float
    exit_code: int | None
    cause: str
    on_purpose: bool = False


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """A process took the run up; ``attempt`` counts from 1.

    ``previous_end``: of the attempt before, where that said no last word. ``birth`` tells the
    process from others with its pid, whatever the clock is set to; None: not known.
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
    """The images are decoded and split. ``skipped`` lists unreadable files left out.

    ``target`` is None for a run that leaves out no domain. ``digest`` changes with the names and
    sizes of the images; empty: not told. ``layout`` is how their folders were read, ``table`` for a
    table, and ``reading`` a sentence on it where there is something to say. ``left_out`` counts
    what lies there and is not among the images. ``shared_images`` of the target have the same
    pixels as an image of a source, as far as that is known.
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

    @property
    def sources(self) -> list[DomainInfo]:
        """Return the domains that are trained on."""
        return [domain for domain in self.domains if domain.is_source]


class PastTraining(msgspec.Struct, frozen=True, kw_only=True):
    """What a network of this program was trained on: all domains but these, the rest split so."""

    run: str
    dataset: str
    target: str | None
    held_out_source: str | None
    split_seed: int
    validation_fraction: float


class LoadedWeights(msgspec.Struct, frozen=True, kw_only=True):
    """What a network took from a file of weights; names are those of tensors in the file.

    ``entry`` is the key of the state dict in the file, with dots between nested ones; empty: the
    file itself. ``prefixes`` are what was removed from before the names, outermost first.
    ``converted``: timm's own conversion for this network was applied. ``other_entries`` hold
    weights too. ``missing`` tensors of the network start as without the file, ``unexpected`` ones
    of the file were left out. ``last_layer`` says in words what became of it; it ``is_kept`` when
    it is the file's. ``sha256`` is of the whole file. ``training``: of a network of this program.
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


class ModelPrepared(Event, frozen=True, kw_only=True, tag="model_prepared"):
    """The network is on its device. ``feature_rms`` is the root mean square of a feature.

    ``step_ms`` are the measured milliseconds per step of each precision and layout tried,
    empty when nothing was left to choose; ``under_load``: other programs were at work meanwhile.
    ``seconds_left`` estimates the whole run. ``ranks`` are
    the processes that train together, each on such a device with so many ``threads``. ``loaded``
    is what was taken from a file of weights; None: they are no file. ``precision`` is that of
    training. ``evaluation_precision`` is fp32; None in runs of before it was, whose evaluations
    had the precision of training.
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
    evaluation_precision: str | None = None


class HeadTrained(Event, frozen=True, kw_only=True, tag="head_trained"):
    """The last layer was trained on cached features, everything else at rest."""

    steps: int
    loss: float | None
    wall_s: float


class StepsTaken(Event, frozen=True, kw_only=True, tag="steps_taken"):
    """The weights were updated ``step`` times; ``loss`` (nats) is the mean since the last one.

    ``seconds_left`` counts training and evaluations still to come.
    """

    step: int
    loss: float | None
    lr: float
    head_lr: float
    steps_per_s: float
    images_per_s: float
    elapsed_s: float
    seconds_left: float | None


class Evaluated(Event, frozen=True, kw_only=True, tag="evaluated"):
    """Accuracies after ``step`` updates.

    ``id_accuracy`` is the mean over source domains of their ``out`` split, augmented where the run
    augments it; ``plain_id_accuracy`` is then the mean without augmentation, and None elsewhere.
    ``ood_accuracy`` is the target's ``in`` split (DomainBed's report), None without a target.
    ``is_best``: no earlier step had a higher ``id_accuracy``. ``collapsed``: one class is
    predicted; None: it cannot be told yet, or the run was made before evaluations said so.
    """

    step: int
    metrics: list[Metric]
    id_accuracy: float
    ood_accuracy: float | None
    is_best: bool
    wall_s: float
    collapsed: bool | None = None
    plain_id_accuracy: float | None = None


class ArmEvaluated(Event, frozen=True, kw_only=True, tag="arm_evaluated"):
    """Accuracies of another way of predicting than the run's own, after ``step`` updates.

    They are as in :class:`Evaluated`; ``is_best`` is among the evaluations of this arm.
    """

    step: int
    arm: str
    metrics: list[Metric]
    id_accuracy: float
    ood_accuracy: float | None
    is_best: bool
    wall_s: float
    plain_id_accuracy: float | None = None


class BarrierMeasured(Event, frozen=True, kw_only=True, tag="barrier_measured"):
    """Half way between two networks: how far the loss rises above the straight line.

    ``loss_barrier`` (nats) and ``accuracy_barrier`` (a share) are of the sources' validation
    images, against the mean of the two ends; a loss that is not finite is None. ``is_barrier``:
    the accuracy half way is so much lower that the two do not lie in one basin.
    """

    first: str
    second: str
    loss_barrier: float | None
    accuracy_barrier: float
    is_barrier: bool


class ParentMeasured(Event, frozen=True, kw_only=True, tag="parent_measured"):
    """A network to combine was evaluated alone, on the sources' validation images."""

    parent: str
    id_accuracy: float


class ParentTried(Event, frozen=True, kw_only=True, tag="parent_tried"):
    """A network was tried in a greedy soup, and kept or not.

    ``soup_accuracy`` is the ID accuracy of the soup with it in.
    """

    parent: str
    soup_accuracy: float
    is_kept: bool


class Cautioned(Event, frozen=True, kw_only=True, tag="cautioned"):
    """A person should know this of the run's numbers before they are believed."""

    message: str


class CheckpointSaved(Event, frozen=True, kw_only=True, tag="checkpoint_saved"):
    """A checkpoint is safely on disk; ``file`` is relative to the run folder.

    ``kind`` is ``last``, ``best`` or the name of the arm whose network it holds.
    """

    step: int
    kind: str
    file: str
    bytes: int


class CollapseDetected(Event, frozen=True, kw_only=True, tag="collapse_detected"):
    """Validation saw one class predicted and a loss near the class entropy."""

    step: int
    predicted_class: str
    share: float
    loss: float
    class_entropy: float
    advice: str


class RunFinished(Event, frozen=True, kw_only=True, tag="run_finished"):
    """All steps are done; the selected step has the best ID validation accuracy.

    Its accuracies are as in :class:`Evaluated`.
    """

    step: int
    selected_step: int
    id_accuracy: float
    ood_accuracy: float | None
    wall_s: float
    peak_memory_bytes: int
    plain_id_accuracy: float | None = None


class RunStopped(Event, frozen=True, kw_only=True, tag="run_stopped"):
    """The run was asked to stop, saved a checkpoint and can be resumed."""

    step: int
    reason: str
    wall_s: float


class RunFailed(Event, frozen=True, kw_only=True, tag="run_failed"):
    """The run ended by an error, at ``step`` where it belongs to one.

    ``refused``: its input was unusable and nothing ran.
    """

    error: str
    message: str
    traceback: str
    step: int | None
    refused: bool


AnyEvent = (
    RunStarted
    | DataPrepared
    | ModelPrepared
    | HeadTrained
    | StepsTaken
    | Evaluated
    | ArmEvaluated
    | BarrierMeasured
    | ParentMeasured
    | ParentTried
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
        EventDecodeError: when the line is damaged or of an unknown type.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventDecodeError(str(error)) from None
