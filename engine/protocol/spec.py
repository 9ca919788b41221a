"""What a run is: every field's help, unit, range and default, written once.

The command line's options, configuration files, the dashboard's form and the documentation
are generated from :data:`FIELDS`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta

from engine.protocol.methods import ARMS, OBJECTIVES

Value = TypeVar("Value")
Layout = Literal[
    "auto", "plain", "class", "split/class", "domain/split/class", "split/domain/class"
]
"""How folders of images are read; ``plain`` is ``domain/class``, whatever their names."""


class SpecError(ValueError):
    """A specification that cannot be run; the message names field, value and allowed range."""


def _about(
    help_text: str,
    group: str,
    *,
    flag: str | None = None,
    unit: str | None = None,
    choices: Iterable[str] = (),
    most: float | None = None,
    none_is_word: bool = False,
) -> Meta:
    """Describe a field.

    ``most`` refuses what can only be a mistake. It is no part of the type: runs in the history
    that were started with more stay readable.
    """
    extra = {
        "group": group,
        "flag": flag,
        "unit": unit,
        "choices": tuple(choices),
        "most": most,
        "none_is_word": none_is_word,
    }
    return Meta(description=help_text, extra=extra)


NO_TARGET: Final = "none"
"""The target of a run that leaves no domain out of training. A target of None: not chosen, which
only images of one domain allow."""

Positive = Meta(gt=0)
NonNegative = Meta(ge=0)

MOST_STEPS: Final = 1_000_000_000
"""Far more than any run has, and far less than overflows."""
MOST_SHOWN: Final = 200
"""Characters of a refused value that are shown whole."""


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that determines a run's result, plus the device it runs on.

    Raises:
        SpecError: when built with a value out of its range.
    """

    # Data
    dataset: Annotated[str, _about("Data set by name; with --data, the folder's name.", "data")] = (
        "emoji"
    )
    data_dir: Annotated[
        str | None,
        _about(
            "Images of your own: a folder of domain/class/image, a table (.csv, .tsv) or a .zip.",
            "data",
            flag="--data",
        ),
    ] = None
    target: Annotated[
        str | None,
        _about(
            "Domain left out of training; its accuracy is the OOD accuracy. none: trains on every "
            "domain, without an OOD accuracy.",
            "data",
            none_is_word=True,
        ),
    ] = None
    held_out_source: Annotated[
        str | None,
        _about(
            "Source domain left out of training as well; its accuracy chooses among settings.",
            "data",
        ),
    ] = None
    image_size: Annotated[
        int,
        Meta(ge=32, le=1024),
        _about("Side of the square images the network sees.", "data", unit="px"),
    ] = 224
    batch_size: Annotated[
        int,
        Meta(ge=1, le=4096),
        _about("Images per source domain and step.", "data", flag="--batch", unit="images"),
    ] = 16
    micro_batch_size: Annotated[
        Annotated[int, Positive] | None,
        _about(
            "Images of a batch computed at a time, to save memory; none: all. The result is that "
            "of the whole batch; a step takes about 1.5 times as long.",
            "data",
            flag="--micro-batch",
            unit="images",
            most=4096,
        ),
    ] = None
    transforms: Annotated[
        Literal["batch", "pil"],
        _about(
            "Training transforms: batch (whole batches from the cache) or pil "
            "(DomainBed's own, image by image).",
            "data",
        ),
    ] = "batch"
    validation_fraction: Annotated[
        float,
        Meta(gt=0, lt=1),
        _about("Share of each domain held out for validation.", "data"),
    ] = 0.2
    augment_validation: Annotated[
        bool,
        _about(
            "Augment the sources' validation images at each evaluation, as DomainBed does; the "
            "step is then selected on them.",
            "data",
        ),
    ] = False
    trial_seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**31 - 1)] | None,
        _about("Seed of the split; none: a split for each seed, as in DomainBed.", "data"),
    ] = None
    skip_bad_images: Annotated[
        bool, _about("Leave out images that cannot be read, and record which.", "data")
    ] = False
    layout: Annotated[
        Layout,
        _about(
            "How the folders of --data are read: plain is domain/class/image without splits; auto "
            "recognizes the layout and reports it.",
            "data",
        ),
    ] = "auto"

    # Network
    model: Annotated[str, _about("timm network.", "network")] = "tf_efficientnet_lite0"
    weights: Annotated[
        str,
        _about(
            "Pre-trained weights: pretrained (packaged or timm's hub), none, or a "
            ".safetensors or .pth file.",
            "network",
        ),
    ] = "pretrained"
    weights_key: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        _about(
            "Entry of the file of weights to load, such as state_dict or teacher; none: EMA "
            "weights first, as timm does.",
            "network",
        ),
    ] = None
    freeze_batchnorm: Annotated[
        bool,
        _about("Keep BatchNorm statistics as pre-trained; its weights still train.", "network"),
    ] = True

    # Method
    tuning: Annotated[
        Literal["full", "linear"],
        _about(
            "What trains: full (every weight) or linear (a weight for each feature of the last "
            "three blocks, and the last layer).",
            "method",
        ),
    ] = "full"
    linear_start: Annotated[
        Literal["ones", "authors"],
        _about(
            "Features of linear tuning: ones (each block divided by its root mean square, weights "
            "start at 1) or authors (not divided, weights start at random, as in the file of the "
            "paper's authors).",
            "method",
        ),
    ] = "ones"
    objective: Annotated[
        str,
        _about("Training loss.", "method", choices=OBJECTIVES),
    ] = "erm"
    dropout_rate: Annotated[
        float,
        Meta(ge=0, lt=1),
        _about(
            "Probability of zeroing each penultimate feature while training.",
            "method",
            flag="--dropout",
        ),
    ] = 0.9
    masks: Annotated[
        int,
        Meta(ge=1, le=1024),
        _about("Dropout masks per backbone pass; the loss is their mean.", "method"),
    ] = 8
    head_steps: Annotated[
        int,
        NonNegative,
        _about(
            "Steps on cached features that train the last layer before everything trains.",
            "method",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = 0
    head_lr_factor: Annotated[
        float,
        Positive,
        _about("Learning rate of the last layer, as a multiple of --lr.", "method", most=1e6),
    ] = 1.0
    scale_head_lr: Annotated[
        bool,
        _about(
            "Divide the last layer's learning rate by the measured mean square of a feature, "
            "so that one setting serves networks of any feature scale.",
            "method",
        ),
    ] = False

    # Optimization
    steps: Annotated[
        int, Meta(ge=1), _about("Updates of the weights.", "optimization", most=MOST_STEPS)
    ] = 300
    optimizer: Annotated[Literal["sgd", "adamw"], _about("Optimizer.", "optimization")] = "sgd"
    lr: Annotated[float, Positive, _about("Learning rate.", "optimization", most=1e3)] = 1e-3
    momentum: Annotated[
        float, Meta(ge=0, lt=1), _about("Momentum (SGD) or β₁ (AdamW).", "optimization")
    ] = 0.9
    weight_decay: Annotated[
        float, NonNegative, _about("Weight decay.", "optimization", most=1e3)
    ] = 1e-4
    schedule: Annotated[
        Literal["constant", "step", "cosine"],
        _about("Learning rate over the steps.", "optimization"),
    ] = "constant"
    lr_drops: Annotated[
        tuple[int, ...],
        _about(
            "Steps at which the step schedule multiplies the rate by 0.1.",
            "optimization",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = ()
    warmup_steps: Annotated[
        int,
        NonNegative,
        _about("Steps of linear warm-up from zero.", "optimization", unit="steps", most=MOST_STEPS),
    ] = 0
    grad_clip: Annotated[
        Annotated[float, Positive] | None,
        _about("Largest gradient norm; none: no clipping.", "optimization", most=1e9),
    ] = None

    # Arms
    arms: Annotated[
        tuple[str, ...],
        _about(
            "Predictors to evaluate in addition to the run's own network.", "arms", choices=ARMS
        ),
    ] = ()
    average_from: Annotated[
        int,
        Positive,
        _about(
            "First step whose weights are averaged, and whose evaluation may be in the ensemble.",
            "arms",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = 1
    average_every: Annotated[
        int,
        Positive,
        _about(
            "Steps from one averaging of the weights to the next.",
            "arms",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = 1
    average_batchnorm: Annotated[
        Literal["average", "reestimate"],
        _about(
            "BatchNorm statistics of averaged weights: averaged too, or re-estimated on "
            "training images.",
            "arms",
        ),
    ] = "average"

    # Measuring
    eval_every: Annotated[
        int,
        Positive,
        _about("Steps between evaluations.", "measuring", unit="steps", most=MOST_STEPS),
    ] = 50
    eval_from: Annotated[
        Annotated[int, Positive] | None,
        _about(
            "First step evaluated; the others follow every --eval-every steps. none: the first is "
            "--eval-every.",
            "measuring",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = None
    log_every: Annotated[
        int,
        Positive,
        _about("Steps between loss readings.", "measuring", unit="steps", most=MOST_STEPS),
    ] = 10
    eval_batch_size: Annotated[
        int, Meta(ge=1, le=8192), _about("Images per evaluation batch.", "measuring", unit="images")
    ] = 32

    # Machine
    seed: Annotated[
        int,
        Meta(ge=0, le=2**31 - 1),
        _about("Seed of initialisation, sampling, augmentation and masks.", "machine"),
    ] = 0
    device: Annotated[str, _about("auto, cpu, cuda, cuda:N or mps.", "machine")] = "auto"
    gpus: Annotated[
        int,
        Meta(ge=1, le=64),
        _about(
            "GPUs of a machine that share each batch, or processes with --device cpu. The result "
            "is that of one.",
            "machine",
        ),
    ] = 1
    nodes: Annotated[
        int,
        Meta(ge=1, le=64),
        _about("Machines of a Slurm job that share each batch, with --gpus each.", "machine"),
    ] = 1
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        _about("auto takes the fastest measured here whose loss agrees with fp32.", "machine"),
    ] = "auto"
    memory_format: Annotated[
        Literal["auto", "contiguous", "channels_last"],
        _about("Memory layout of images and features; auto measures.", "machine"),
    ] = "auto"
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        _about("Processor threads of each process; all cores unless given.", "machine"),
    ] = None
    keep_checkpoints: Annotated[
        Literal["all", "best", "none"],
        _about(
            "Checkpoints left when the run has finished: all, best (the selected step's) or none.",
            "machine",
            flag="--keep",
        ),
    ] = "all"
    recipe: Annotated[str, _about("Set of defaults the other fields start from.", "machine")] = (
        "default"
    )

    @property
    def weights_file(self) -> str | None:
        """Return the path of the file of weights; None: they are no file."""
        return None if self.weights in ("pretrained", "none") else self.weights

    @property
    def ranks(self) -> int:
        """Return the number of processes that train together."""
        return self.gpus * self.nodes

    def __post_init__(self) -> None:
        for name, info in FIELDS.items():
            value = getattr(self, name)
            msgspec.structs.force_setattr(self, name, info.check(value))


class FieldInfo(msgspec.Struct, frozen=True):
    """One field of :class:`RunSpec`, as the interfaces need it.

    ``none_is_word``: ``none`` is a value as any other, not the way to write that there is none.
    """

    name: str
    type: Any
    default: Any
    help: str
    group: str
    flag: str
    unit: str | None
    choices: tuple[str, ...]
    allowed: str
    most: float | None = None
    none_is_word: bool = False

    @property
    def spelled_as_flag(self) -> str:
        """Return the flag as a key: ``dropout`` for ``dropout_rate``."""
        return self.flag.removeprefix("--").replace("-", "_")

    def check(self, value: object) -> Any:
        """Return ``value`` in the field's type.

        Raises:
            SpecError: naming field, value and what is allowed.
        """
        parts = value if isinstance(value, list | tuple) else (value,)
        numbers = [
            part for part in parts if isinstance(part, int | float) and not isinstance(part, bool)
        ]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise self._refusal(value, self.allowed.replace("a number", "a finite number", 1))
        if self.most is not None and any(number > self.most for number in numbers):
            raise self._refusal(value, f"at most {self.most:,.0f}")
        try:
            converted = msgspec.convert(value, self.type)
        except msgspec.ValidationError:
            raise self._refusal(value, self.allowed) from None
        words = converted if isinstance(converted, tuple) else (converted,)
        if self.choices and isinstance(converted, tuple):
            converted = tuple(dict.fromkeys(converted))  # each once
        if self.choices and any(word not in self.choices for word in words):
            raise self._refusal(value, self.allowed)
        return converted

    def _refusal(self, value: object, allowed: str) -> SpecError:
        words = value if isinstance(value, list | tuple) else [value]
        hint = ""
        unknown = next((w for w in words if isinstance(w, str) and w not in self.choices), None)
        if self.choices and unknown is not None:
            hint = nearest(unknown, self.choices)
        return SpecError(f"{self.name} is {_shown(value)}, but must be {allowed}.{hint}")


def _shown(value: object) -> str:
    """Write a refused value, however long it is."""
    try:
        text = repr(",".join(map(str, value)) if isinstance(value, list | tuple) else value)
    except ValueError:  # Python writes whole numbers of up to 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN // 2]}… ({len(text):,} long)"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean …?`` with the nearest known names, or nothing."""
    spelled = {name.casefold(): name for name in known}
    matches = difflib.get_close_matches(word.casefold(), list(spelled), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(spelled[name] for name in matches)}?" if matches else ""


def nearest_field(key: str) -> str:
    """Return a hint at the nearest fields, or at the list of all."""
    return nearest(key, FIELDS) or nearest(key, SPELLINGS) or " 'vld run --help' lists them."


def by_field(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return values by the names of their fields; a key may be spelled as the field's flag.

    Raises:
        SpecError: for an unknown key (with the nearest known ones) or two spellings of one.
    """
    found: dict[str, Value] = {}
    spelled: dict[str, str] = {}
    for key, value in values.items():
        name = SPELLINGS.get(key.replace("-", "_"))
        if name is None:
            raise SpecError(f"unknown field {key!r}.{nearest_field(key)}")
        if name in spelled:
            raise SpecError(f"{spelled[name]} and {key} are the same field: give one of them.")
        found[name], spelled[name] = value, key
    return found


def spec_from_mapping(values: Mapping[str, object]) -> RunSpec:
    """Build a spec from field names and values, defaults filling the rest.

    Raises:
        SpecError: for an unknown key (with the nearest known ones) or a value out of range.
    """
    for key in values:
        if key not in FIELDS:
            raise SpecError(f"Unknown field {key!r}.{nearest(key, FIELDS)}")
    return RunSpec(**values)  # type: ignore[arg-type]


def encode_spec(spec: RunSpec) -> bytes:
    """Return the spec as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n"


def decode_spec(data: bytes) -> RunSpec:
    """Read a spec from JSON.

    Raises:
        SpecError: when it is not a JSON object or holds a bad key or value.
    """
    try:
        values = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SpecError(f"Not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise SpecError("A spec must be a JSON object.")
    try:
        return spec_from_mapping(values)
    except SpecError as error:
        if values.keys() <= FIELDS.keys():
            raise
        raise SpecError(f"{error} A newer version has more fields: upgrade vld-tui.") from None


def _written(bound: float) -> str:
    """Write a bound with all digits of a whole number and without ``.0``."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _allowed_words(kind: Any, choices: tuple[str, ...]) -> str:
    """Say which words a field takes."""
    listed = ", ".join(choices)
    return f"any of {listed}" if get_origin(kind) is tuple else f"one of {listed}"


def _allowed(kind: Any, metas: list[Meta]) -> str:
    """Say in words what values a field takes."""
    if get_origin(kind) in (Union, UnionType):
        inner = next(arg for arg in get_args(kind) if arg is not type(None))
        base, *inner_metas = get_args(inner) if get_origin(inner) is Annotated else (inner,)
        return _allowed(base, inner_metas) + ", or none"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    text = words.get(kind, "a list of whole numbers")
    for meta in metas:
        has_upper = meta.lt is not None or meta.le is not None
        if meta.gt is not None:
            text += f" above {_written(meta.gt)}"
        if meta.ge is not None:
            text += " from" if has_upper else " of at least"
            text += f" {_written(meta.ge)}"
        if meta.lt is not None:
            text += " up to but not including" if meta.ge is not None else " and below"
            text += f" {_written(meta.lt)}"
        if meta.le is not None:
            text += f" to {_written(meta.le)}"
    return text


def _field_infos() -> dict[str, FieldInfo]:
    infos: dict[str, FieldInfo] = {}
    hints = get_type_hints(RunSpec, include_extras=True)
    for field in msgspec.structs.fields(RunSpec):
        kind, *metas = get_args(hints[field.name])
        about = next(meta for meta in metas if meta.description)
        extra = about.extra or {}
        choices = get_args(kind) if get_origin(kind) is Literal else extra["choices"]
        infos[field.name] = FieldInfo(
            name=field.name,
            type=hints[field.name],
            default=field.default,
            help=about.description or "",
            group=extra["group"],
            flag=extra["flag"] or "--" + field.name.replace("_", "-"),
            unit=extra["unit"],
            choices=choices,
            allowed=_allowed_words(kind, choices) if choices else _allowed(kind, metas),
            most=extra["most"],
            none_is_word=extra["none_is_word"],
        )
    return infos


FIELDS: dict[str, FieldInfo] = _field_infos()
"""Every field of :class:`RunSpec` by name, in order of declaration."""

SPELLINGS: Final[dict[str, str]] = {
    **{info.spelled_as_flag: name for name, info in FIELDS.items()},
    **{name: name for name in FIELDS},
}
"""What a field may be called where a user writes it: its own name, or its flag's."""
