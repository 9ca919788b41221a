"""The run specification: every field's help, unit, range and default.

Command-line options, configuration files, the dashboard's form and the documentation are
generated from :data:`FIELDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from engine.protocol.diagnostics import TOPICS
from engine.protocol.embedded import EARLIER_DEFAULT_DATASET
from engine.protocol.fields import FieldInfo, Role, SpecError, about, fields_of, nearest
from engine.protocol.methods import ARMS, JOINED_BY, OBJECTIVES

Value = TypeVar("Value")
Layout = Literal[
    "auto", "plain", "class", "split/class", "domain/split/class", "split/domain/class"
]
"""Folder layouts; ``plain`` is ``domain/class``, whatever the folders are called."""


NO_TARGET: Final = "none"
"""The target of a run that trains on every domain. A target of None means "not chosen", which is
valid only for data with a single domain."""

NO_WEIGHT_FILES: Final = ("pretrained", "none")
"""Values of ``weights`` that are not files."""

LAST: Final = "last"
"""The value of ``mask_at`` at which masks drop penultimate features."""

Positive = Meta(gt=0)
NonNegative = Meta(ge=0)

MOST_STEPS: Final = 1_000_000_000
"""Upper limit for step counts: more than any run needs, and safe from overflow."""

MOST_VIEWS: Final = 1000
"""Upper limit for augmented views of an image: more only cost disk space."""


_data = partial(about, group="data")
_network = partial(about, group="network")
_method = partial(about, group="method")
_optimization = partial(about, group="optimization")
_arms = partial(about, group="arms")
_measuring = partial(about, group="measuring")
_machine = partial(about, group="machine")


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that determines a run's result, plus the device it runs on.

    Raises:
        SpecError: if a value is out of range.
    """

    # Data
    dataset: Annotated[
        str,
        _data(
            "Data set name; with --data, defaults to the folder's name.",
            roles="place cost shared in_sight",
            completion="data sets",
        ),
    ] = EARLIER_DEFAULT_DATASET  # of stored specs; resolve_spec gives new ones DEFAULT_DATASET
    data_dir: Annotated[
        str | None,
        _data(
            "Your own images: a folder of domain/class/image, a table (.csv, .tsv) or a .zip.",
            flag="--data",
            roles="place cost path implied",
        ),
    ] = None
    target: Annotated[
        str | None,
        _data(
            "Domain to leave out of training and measure OOD accuracy on. none: train on every "
            "domain; no OOD accuracy.",
            none_is_word=True,
            roles="place shared in_sight",
            completion="domains",
        ),
    ] = None
    held_out_source: Annotated[
        str | None,
        _data(
            "Source domain to leave out of training as well, for choosing hyper-parameters.",
            roles="place shared implied",
            completion="domains",
        ),
    ] = None
    image_size: Annotated[
        int,
        Meta(ge=32, le=1024),
        _data("Side of the square input images.", unit="px", roles="pace shared"),
    ] = 224
    batch_size: Annotated[
        int,
        Meta(ge=1, le=4096),
        _data(
            "Images per source domain in each step.",
            flag="--batch",
            unit="images",
            roles="cost memory reported",
        ),
    ] = 16
    sampling: Annotated[
        Literal["uniform", "balanced"],
        _data(
            "Draw of a source domain's training images: uniform (every image equally likely) or "
            "balanced (every class equally likely)."
        ),
    ] = "uniform"
    micro_batch_size: Annotated[
        Annotated[int, Positive] | None,
        _data(
            "Compute the batch in chunks of this many images to save memory. Same result; each "
            "step takes about 1.5× as long. none: the whole batch at once.",
            flag="--micro-batch",
            unit="images",
            most=4096,
            roles="not_result pace",
        ),
    ] = None
    transforms: Annotated[
        Literal["batch", "pil"],
        _data(
            "Training transforms: batch (whole batches from the cache) or pil (image by image, "
            "as in DomainBed).",
            roles="pace",
        ),
    ] = "batch"
    validation_fraction: Annotated[
        float, Meta(gt=0, lt=1), _data("Fraction of each domain held out for validation.")
    ] = 0.2
    augment_validation: Annotated[
        bool,
        _data(
            "Augment the source domains' validation images at each evaluation, as DomainBed does; "
            "affects which step is selected.",
            roles="measured_on cost",
        ),
    ] = False
    trial_seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**31 - 1)] | None,
        _data(
            "Seed of the split. none: a different split per --seed, as in DomainBed.", roles="seed"
        ),
    ] = None
    skip_bad_images: Annotated[
        bool, _data("Skip images that cannot be read, and record which.")
    ] = False
    layout: Annotated[
        Layout,
        _data(
            "Folder layout of --data. auto: detect and report it; plain: domain/class/image "
            "without splits."
        ),
    ] = "auto"

    exclude: Annotated[
        str | None,
        _data(
            "Exclude list: a file of images to leave out or to relabel.",
            metavar="FILE",
            roles="path measured_on",
        ),
    ] = None
    outliers: Annotated[
        str | None,
        _data(
            'Unlabelled images of none of the run\'s classes, to train the class "abstain" on: a '
            "folder, or an embedded data set (its images of other classes).",
            metavar="DIR",
            roles="path pace course",
        ),
    ] = None
    outlier_batch_size: Annotated[
        Annotated[int, Positive] | None,
        _data(
            "Outliers in each step. none: as many as images per source domain.",
            flag="--outlier-batch",
            unit="images",
            most=4096,
            roles="pace course",
        ),
    ] = None

    # Network
    model: Annotated[
        str,
        _network(
            "timm model name; several joined by + are used side by side, with --tuning linear.",
            roles="cost shared in_sight reported",
            completion="networks",
        ),
    ] = "tf_efficientnet_lite0"
    weights: Annotated[
        str,
        _network(
            "Initial weights: pretrained (packaged or from timm's hub), none (random), or a "
            ".safetensors or .pth file.",
            roles="path reported",
            completion="initial weights",
        ),
    ] = "pretrained"
    weights_key: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        _network(
            "Key of the weight file to load, such as state_dict or teacher. none: EMA weights if "
            "present, as timm does."
        ),
    ] = None
    freeze_batchnorm: Annotated[
        bool, _network("Keep the pre-trained BatchNorm statistics; scale and bias still train.")
    ] = True
    keep_zeros: Annotated[
        bool, _network("Keep initial weights that are zero at zero, for a pruned --weights file.")
    ] = False
    sparsity: Annotated[
        float,
        Meta(ge=0, lt=1),
        _network(
            "Fraction of each layer's weights to prune: the smallest become zero at the start and "
            "stay zero. First, last and depthwise layers stay dense. 0: no pruning.",
            hint="It is the fraction of weights that become zero; 1 would leave none.",
        ),
    ] = 0.0

    # Method
    tuning: Annotated[
        Literal["full", "linear"],
        _method(
            "Parameters to train: full (all) or linear (a linear model on the frozen network's "
            "features, see --linear-features).",
            roles="pace shared",
        ),
    ] = "full"
    linear_features: Annotated[
        Literal["blocks", "penultimate"],
        _method(
            "Features of linear tuning: blocks (the last three blocks, each feature with its own "
            "weight) or penultimate (the last layer's input; only the last layer is trained).",
            roles="shared pace",
            only_with=("tuning", "linear"),
        ),
    ] = "blocks"
    linear_start: Annotated[
        Literal["ones", "authors"],
        _method(
            "Initialisation of linear tuning: ones (features divided by their block's RMS, weights "
            "1) or authors (features as they are, random weights, as in the paper's code).",
            roles="shared",
            only_with=("linear_features", "blocks"),
        ),
    ] = "ones"
    views: Annotated[
        Annotated[int, Positive] | None,
        _method(
            "Cached augmented views of each image, for --tuning linear (default recipe: 6) and for "
            "the last layer, if it is trained first. none: linear tuning augments every batch "
            "(much slower); the last layer trains on images without augmentation.",
            most=MOST_VIEWS,
            roles="pace",
            hint="Without views there is nothing to train on; to augment every batch, give none.",
        ),
    ] = None
    objective: Annotated[
        str,
        _method(
            "Training loss; several joined by + are used together.",
            choices=OBJECTIVES,
            joined_by=JOINED_BY,
        ),
    ] = "erm"
    odd_quantile: Annotated[
        float,
        Meta(gt=0, lt=1),
        _method(
            "Quantile of the losses of random labels; training images with a higher loss are "
            "dropped. For --objective odd.",
            only_with=("objective", "odd"),
        ),
    ] = 0.5
    odd_from: Annotated[
        Annotated[int, Positive] | None,
        _method(
            "First step in which images are dropped, for --objective odd. none: half of the run's "
            "steps.",
            unit="steps",
            most=MOST_STEPS,
            roles="course",
            only_with=("objective", "odd"),
        ),
    ] = None
    groupdro_step_size: Annotated[
        float,
        Positive,
        _method(
            "Step size η of the sources' weights, for --objective groupdro.",
            most=1e3,
            only_with=("objective", "groupdro"),
        ),
    ] = 0.01
    teacher: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        _method(
            "Finished run of the same images and split whose network is the teacher, for "
            "--objective confreg.",
            metavar="RUN",
            roles="implied",
            only_with=("objective", "confreg"),
            completion="runs",
        ),
    ] = None
    rpdro_kl_weight: Annotated[
        float,
        NonNegative,
        _method(
            "Weight τ of the KL divergence that limits the adversary of --objective rpdro.",
            most=1e9,
            only_with=("objective", "rpdro"),
        ),
    ] = 0.01
    coral_weight: Annotated[
        float,
        Positive,
        _method(
            "Weight γ of the feature differences, for --objective coral (DomainBed: 1).",
            most=1e9,
            only_with=("objective", "coral"),
        ),
    ] = 1.0
    vrex_weight: Annotated[
        float,
        Positive,
        _method(
            "Weight β of the variance of the sources' losses, for --objective vrex (DomainBed: "
            "10).",
            most=1e9,
            only_with=("objective", "vrex"),
        ),
    ] = 10.0
    vrex_anneal_steps: Annotated[
        Annotated[int, NonNegative] | None,
        _method(
            "Steps at the start in which the variance has weight 1, for --objective vrex. none: a "
            "tenth of the run's steps, at most 500 (DomainBed: 500 of 5,001).",
            unit="steps",
            most=MOST_STEPS,
            roles="course",
            only_with=("objective", "vrex"),
        ),
    ] = None
    mixup_alpha: Annotated[
        float,
        Positive,
        _method(
            "Parameter α of the Beta(α, α) distribution of an image's share in a mixed image, for "
            "--objective mixup (DomainBed: 0.2).",
            most=1e3,
            only_with=("objective", "mixup"),
        ),
    ] = 0.2
    class_weights: Annotated[
        Literal["none", "balanced"],
        _method(
            "Weights of the classes in the training loss: none, or balanced (rare classes count "
            "more). With every --objective but mixup."
        ),
    ] = "none"
    class_weight_power: Annotated[
        float,
        Positive,
        _method(
            "Power p of balanced class weights, count^(−p). 1: every class has the same total "
            "weight.",
            most=10,
            only_with=("class_weights", "balanced"),
        ),
    ] = 0.5
    dropout_rate: Annotated[
        float,
        Meta(ge=0, lt=1),
        _method(
            "Probability of zeroing each penultimate feature during training.",
            flag="--dropout",
            roles="in_sight reported",
        ),
    ] = 0.9
    dropout_schedule: Annotated[
        Literal["constant", "linear"],
        _method(
            "Dropout rate over the steps: constant, or linear (rises from --dropout-start to "
            "--dropout).",
            roles="course",
        ),
    ] = "constant"
    dropout_start: Annotated[
        float,
        Meta(ge=0, lt=1),
        _method(
            "First dropout rate of the linear schedule; --head-steps train the last layer at it.",
            roles="course",
            only_with=("dropout_schedule", "linear"),
        ),
    ] = 0.5
    dropout_steps: Annotated[
        Annotated[int, Positive] | None,
        _method(
            "Steps over which the dropout rate rises in the linear schedule. none: half of the "
            "run's steps.",
            unit="steps",
            most=MOST_STEPS,
            roles="course",
            only_with=("dropout_schedule", "linear"),
        ),
    ] = None
    masks: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | Literal["inf"],
        _method(
            "Dropout masks per backbone pass; the loss is averaged over them. inf: the limit of "
            "many masks, in which logits are Gaussian.",
            roles="cost memory in_sight reported",
        ),
    ] = 8
    mask_draws: Annotated[
        int,
        Meta(ge=2, le=4096),
        _method(
            "Draws of each image's Gaussian logits, for --masks inf.",
            roles="cost memory",
            only_with=("masks", "inf"),
        ),
    ] = 64
    mask_basis: Annotated[
        Literal["units", "pca"],
        _method(
            "Directions of the representation that masks drop: units, or pca (principal directions "
            "of the training images' features).",
        ),
    ] = "units"
    mask_basis_every: Annotated[
        Annotated[int, Positive] | None,
        _method(
            "Steps between updates of the principal directions. none: those before the first step.",
            unit="steps",
            most=MOST_STEPS,
            roles="cost course",
            only_with=("mask_basis", "pca"),
        ),
    ] = None
    mask_at: Annotated[
        str,
        Meta(min_length=1),
        _method(
            "Position of dropout: last (the penultimate features), or the name of a stage or block "
            "of the network, such as layer3 or blocks.4 (whole channels of its output).",
        ),
    ] = LAST
    head_steps: Annotated[
        int,
        NonNegative,
        _method(
            "Steps that train only the last layer, on cached features, before the main training.",
            unit="steps",
            most=MOST_STEPS,
            roles="cost course",
        ),
    ] = 0
    head_lr_factor: Annotated[
        float, Positive, _method("Last layer's learning rate as a multiple of --lr.", most=1e6)
    ] = 1.0
    scale_head_lr: Annotated[
        bool,
        _method(
            "Divide the last layer's learning rate by the features' measured mean square, so that "
            "one setting suits networks of any feature scale."
        ),
    ] = False

    recipe: Annotated[
        str,
        _method(
            "Named set of defaults for the other fields.",
            roles="not_result in_sight",
            completion="recipes",
        ),
    ] = "default"

    # Optimization
    steps: Annotated[
        int,
        Meta(ge=1),
        _optimization("Training steps.", most=MOST_STEPS, roles="cost course in_sight reported"),
    ] = 300
    optimizer: Annotated[
        Literal["sgd", "adamw"], _optimization("Optimizer.", roles="cost reported")
    ] = "sgd"
    lr: Annotated[float, Positive, _optimization("Learning rate.", most=1e3, roles="reported")] = (
        1e-3
    )
    momentum: Annotated[float, Meta(ge=0, lt=1), _optimization("Momentum (SGD) or β₁ (AdamW).")] = (
        0.9
    )
    weight_decay: Annotated[
        float, NonNegative, _optimization("Weight decay.", most=1e3, roles="reported")
    ] = 1e-4
    schedule: Annotated[
        Literal["constant", "step", "cosine"], _optimization("Learning rate schedule.")
    ] = "constant"
    lr_drops: Annotated[
        tuple[int, ...],
        _optimization(
            "Steps at which the step schedule multiplies the learning rate by 0.1.",
            unit="steps",
            most=MOST_STEPS,
            roles="course",
            only_with=("schedule", "step"),
        ),
    ] = ()
    warmup_steps: Annotated[
        int,
        NonNegative,
        _optimization(
            "Steps of linear learning-rate warm-up from zero.",
            unit="steps",
            most=MOST_STEPS,
            roles="course",
        ),
    ] = 0
    grad_clip: Annotated[
        Annotated[float, Positive] | None,
        _optimization("Maximum gradient norm. none: no clipping.", most=1e9),
    ] = None

    # Arms
    arms: Annotated[
        tuple[str, ...],
        _arms(
            "Additional predictions to evaluate during the run.",
            choices=ARMS,
            roles="not_own_result cost course",
        ),
    ] = ()
    average_from: Annotated[
        int,
        Positive,
        _arms(
            "First step included in the weight average and the ensemble.",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = 1
    average_every: Annotated[
        int,
        Positive,
        _arms(
            "Steps between updates of the weight average.",
            unit="steps",
            most=MOST_STEPS,
            only_with=("arms", "averaged"),
        ),
    ] = 1
    average_batchnorm: Annotated[
        Literal["average", "reestimate"],
        _arms(
            "BatchNorm statistics of the averaged weights: average (averaged too) or reestimate "
            "(computed from training images).",
            only_with=("arms", "averaged"),
        ),
    ] = "average"
    swad_converge: Annotated[
        int,
        Positive,
        _arms(
            "SWAD's N_s: the valley begins when the first of this many evaluations has the lowest "
            "ID loss.",
            unit="evaluations",
            most=1000,
            only_with=("arms", "swad"),
        ),
    ] = 3
    swad_tolerance: Annotated[
        int,
        Positive,
        _arms(
            "SWAD's N_e: the valley ends when the ID loss of this many evaluations in a row is "
            "above the threshold.",
            unit="evaluations",
            most=1000,
            only_with=("arms", "swad"),
        ),
    ] = 6
    swad_ratio: Annotated[
        float,
        Meta(ge=1),
        _arms(
            "SWAD's r: the threshold as a multiple of the mean ID loss of the --swad-converge "
            "evaluations at the start of the valley.",
            most=1e3,
            only_with=("arms", "swad"),
        ),
    ] = 1.3
    refine_steps: Annotated[
        int,
        Positive,
        _arms(
            "Steps that train only the last layer further, on cached features of the selected "
            "step's network, after the main training.",
            unit="steps",
            most=MOST_STEPS,
            roles="cost course",
            only_with=("arms", "refined"),
        ),
    ] = 100
    refine_on: Annotated[
        Literal["hard", "rare"],
        _arms(
            "Training images to refine the last layer on: hard (the quarter of each source with "
            "the highest loss) or rare (classes with fewer than half of the mean number of "
            "images).",
            only_with=("arms", "refined"),
        ),
    ] = "hard"

    # Measuring
    select_on: Annotated[
        Literal["accuracy", "balanced"],
        _measuring(
            "ID validation measure that selects the step: accuracy, or balanced (accuracy averaged "
            "over classes)."
        ),
    ] = "accuracy"
    eval_every: Annotated[
        int,
        Positive,
        _measuring("Steps between evaluations.", unit="steps", most=MOST_STEPS, roles="cost"),
    ] = 50
    eval_from: Annotated[
        Annotated[int, Positive] | None,
        _measuring(
            "First step to evaluate, then every --eval-every steps. none: same as --eval-every.",
            unit="steps",
            most=MOST_STEPS,
            roles="cost",
        ),
    ] = None
    log_every: Annotated[
        int,
        Positive,
        _measuring(
            "Steps between logged losses.", unit="steps", most=MOST_STEPS, roles="not_result"
        ),
    ] = 10
    eval_batch_size: Annotated[
        int,
        Meta(ge=1, le=8192),
        _measuring("Evaluation batch size.", unit="images", roles="not_own_result cost memory"),
    ] = 32
    diagnose: Annotated[
        tuple[str, ...],
        _measuring(
            "Diagnostics to compute after training, at the selected step: rich (representation), "
            "shift (target) or all. If one fails, the run still finishes.",
            choices=("all", *TOPICS),
            roles="not_result course",
        ),
    ] = ()

    # Machine
    seed: Annotated[
        int,
        Meta(ge=0, le=2**31 - 1),
        _machine(
            "Random seed for initialisation, sampling, augmentation and dropout masks.",
            roles="seed in_sight",
        ),
    ] = 0
    device: Annotated[
        str,
        _machine(
            "Device: auto, cpu, cuda, cuda:N or mps.", roles="not_result pace", completion="devices"
        ),
    ] = "auto"
    gpus: Annotated[
        int,
        Meta(ge=1, le=64),
        _machine(
            "GPUs per machine to split each batch over (processes with --device cpu). Results "
            "match a single GPU.",
            roles="not_result pace",
        ),
    ] = 1
    nodes: Annotated[
        int,
        Meta(ge=1, le=64),
        _machine(
            "Slurm nodes to split each batch over, with --gpus each.", roles="not_result pace"
        ),
    ] = 1
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        _machine(
            "Numeric precision. auto: the fastest on this device whose loss agrees with fp32.",
            roles="pace",
        ),
    ] = "auto"
    memory_format: Annotated[
        Literal["auto", "contiguous", "channels_last"],
        _machine(
            "Memory layout of images and features. auto: the faster on this device.",
            roles="not_result pace",
        ),
    ] = "auto"
    fold_batchnorm: Annotated[
        Literal["auto", "on", "off"],
        _machine(
            "Fold BatchNorm with fixed statistics into convolutions. Same result up to rounding. "
            "auto: in evaluation, and in training where faster on this device.",
            roles="not_result pace",
        ),
    ] = "auto"
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        _machine("CPU threads per process. none: all cores.", roles="not_result pace"),
    ] = None
    keep_checkpoints: Annotated[
        Literal["all", "best", "none"],
        _machine(
            "Checkpoints to keep after the run: all, best (the selected step's) or none.",
            flag="--keep",
            roles="not_result cost",
        ),
    ] = "all"

    @property
    def weights_file(self) -> str | None:
        """Return the path of the weight file, or None if the weights are not a file."""
        return None if self.weights in NO_WEIGHT_FILES else self.weights

    @property
    def models(self) -> tuple[str, ...]:
        """Return the names of the networks that ``model`` joins."""
        return tuple(self.model.split(JOINED_BY))

    @property
    def objectives(self) -> tuple[str, ...]:
        """Return the names of the objectives that ``objective`` joins."""
        return tuple(self.objective.split(JOINED_BY))

    @property
    def is_sparse(self) -> bool:
        """Return whether weights that are zero stay zero."""
        return self.keep_zeros or self.sparsity > 0

    @property
    def outliers_per_step(self) -> int:
        """Return the number of outliers in each step; 0 if the run has none."""
        return (self.outlier_batch_size or self.batch_size) if self.outliers is not None else 0

    @property
    def ranks(self) -> int:
        """Return the number of training processes."""
        return self.gpus * self.nodes

    def images_per_step(self, sources: int) -> int:
        """Return the number of images in each step of a run with so many source domains."""
        return self.batch_size * sources + self.outliers_per_step

    def __post_init__(self) -> None:
        for name, info in FIELDS.items():
            value = getattr(self, name)
            msgspec.structs.force_setattr(self, name, info.check(value))


def nearest_field(key: str) -> str:
    """Return a hint that names the nearest fields, or the command that lists all."""
    return nearest(key, FIELDS) or nearest(key, SPELLINGS) or "  List them with: vld run --help"


def fields_with(role: Role) -> tuple[str, ...]:
    """Return the names of the fields that have a role, in declaration order."""
    return tuple(name for name, info in FIELDS.items() if role in info.roles)


def applies(spec: RunSpec, name: str) -> bool:
    """Return whether a field has an effect on this run: see ``only_with`` of a field."""
    return unmet_condition(spec, name) is None


def unmet_condition(spec: RunSpec, name: str) -> tuple[str, str] | None:
    """Return the first field, and its needed value, without which a field has no effect."""
    condition = FIELDS[name].only_with
    if condition is None:
        return None
    other, wanted = condition
    value = getattr(spec, other)
    if FIELDS[other].joined_by is not None:
        value = tuple(value.split(FIELDS[other].joined_by))
    is_met = wanted in value if isinstance(value, tuple) else bool(value == wanted)
    return unmet_condition(spec, other) or (None if is_met else condition)


def reads_views(spec: RunSpec) -> bool:
    """Return whether ``views`` has an effect on this run."""
    return spec.tuning == "linear" or spec.head_steps > 0


def by_field(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return values keyed by field name; a key may be a field's name or its flag.

    Raises:
        SpecError: for an unknown key (with the nearest known ones) or a field given twice.
    """
    found: dict[str, Value] = {}
    spelled: dict[str, str] = {}
    for key, value in values.items():
        name = SPELLINGS.get(key.replace("-", "_"))
        if name is None:
            raise SpecError(f"unknown field {key!r}.{nearest_field(key)}")
        if name in spelled:
            raise SpecError(f"{spelled[name]} and {key} are the same field; give only one.")
        found[name], spelled[name] = value, key
    return found


def spec_from_mapping(values: Mapping[str, object]) -> RunSpec:
    """Build a spec from field names and values; missing fields take their defaults.

    Raises:
        SpecError: for an unknown key (with the nearest known ones) or a value out of range.
    """
    for key in values:
        if key not in FIELDS:
            raise SpecError(f"unknown field {key!r}.{nearest(key, FIELDS)}")
    return RunSpec(**values)  # type: ignore[arg-type]


def encode_spec(spec: RunSpec) -> bytes:
    """Return the spec as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n"


def decode_spec(data: bytes) -> RunSpec:
    """Read a spec from JSON.

    Raises:
        SpecError: if it is not a JSON object or has an invalid key or value.
    """
    try:
        values = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SpecError(f"invalid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise SpecError("a spec must be a JSON object.")
    try:
        return spec_from_mapping(values)
    except SpecError as error:
        if values.keys() <= FIELDS.keys():
            raise
        raise SpecError(f"{error} If the spec is from a newer version, upgrade vld-tui.") from None


FIELDS: Final[dict[str, FieldInfo]] = fields_of(RunSpec)
"""Every field of :class:`RunSpec` by name, in declaration order."""

SPELLINGS: Final[dict[str, str]] = {
    **{info.spelled_as_flag: name for name, info in FIELDS.items()},
    **{name: name for name in FIELDS},
}
"""Field names by the spellings users may write: the field's name or its flag."""
