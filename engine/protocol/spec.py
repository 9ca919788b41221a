"""The run specification: every field's help, unit, range and default.

Command-line options, configuration files, the dashboard's form and the documentation are
generated from :data:`FIELDS`.
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

from engine.errors import UserError
from engine.protocol.methods import ARMS, OBJECTIVES

Value = TypeVar("Value")
Layout = Literal[
    "auto", "plain", "class", "split/class", "domain/split/class", "split/domain/class"
]
"""Folder layouts; ``plain`` is ``domain/class``, whatever the folders are called."""


class SpecError(UserError, ValueError):
    """An invalid specification; the message names field, value and allowed range."""


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

    ``most`` rejects values that can only be mistakes. It is not part of the type, so that stored
    runs with larger values stay readable.
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
"""The target of a run that trains on every domain. A target of None means "not chosen", which is
valid only for data with a single domain."""

Positive = Meta(gt=0)
NonNegative = Meta(ge=0)

MOST_STEPS: Final = 1_000_000_000
"""Upper limit for step counts: more than any run needs, and safe from overflow."""
MOST_SHOWN: Final = 200
"""Maximum number of characters of a rejected value shown in an error."""


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that determines a run's result, plus the device it runs on.

    Raises:
        SpecError: if a value is out of range.
    """

    # Data
    dataset: Annotated[
        str, _about("Data set name; with --data, defaults to the folder's name.", "data")
    ] = "emoji"
    data_dir: Annotated[
        str | None,
        _about(
            "Your own images: a folder of domain/class/image, a table (.csv, .tsv) or a .zip.",
            "data",
            flag="--data",
        ),
    ] = None
    target: Annotated[
        str | None,
        _about(
            "Domain to leave out of training and measure OOD accuracy on. none: train on every "
            "domain; no OOD accuracy.",
            "data",
            none_is_word=True,
        ),
    ] = None
    held_out_source: Annotated[
        str | None,
        _about(
            "Source domain to leave out of training as well, for choosing hyper-parameters.",
            "data",
        ),
    ] = None
    image_size: Annotated[
        int,
        Meta(ge=32, le=1024),
        _about("Side of the square input images.", "data", unit="px"),
    ] = 224
    batch_size: Annotated[
        int,
        Meta(ge=1, le=4096),
        _about("Images per source domain in each step.", "data", flag="--batch", unit="images"),
    ] = 16
    micro_batch_size: Annotated[
        Annotated[int, Positive] | None,
        _about(
            "Compute the batch in chunks of this many images to save memory. Same result; each "
            "step takes about 1.5× as long. none: the whole batch at once.",
            "data",
            flag="--micro-batch",
            unit="images",
            most=4096,
        ),
    ] = None
    transforms: Annotated[
        Literal["batch", "pil"],
        _about(
            "Training transforms: batch (whole batches from the cache) or pil (image by image, "
            "as in DomainBed).",
            "data",
        ),
    ] = "batch"
    validation_fraction: Annotated[
        float,
        Meta(gt=0, lt=1),
        _about("Fraction of each domain held out for validation.", "data"),
    ] = 0.2
    augment_validation: Annotated[
        bool,
        _about(
            "Augment the source domains' validation images at each evaluation, as DomainBed does; "
            "affects which step is selected.",
            "data",
        ),
    ] = False
    trial_seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**31 - 1)] | None,
        _about("Seed of the split. none: a different split per --seed, as in DomainBed.", "data"),
    ] = None
    skip_bad_images: Annotated[
        bool, _about("Skip images that cannot be read, and record which.", "data")
    ] = False
    layout: Annotated[
        Layout,
        _about(
            "Folder layout of --data. auto: detect and report it; plain: domain/class/image "
            "without splits.",
            "data",
        ),
    ] = "auto"

    # Network
    model: Annotated[str, _about("timm model name.", "network")] = "tf_efficientnet_lite0"
    weights: Annotated[
        str,
        _about(
            "Initial weights: pretrained (packaged or from timm's hub), none (random), or a "
            ".safetensors or .pth file.",
            "network",
        ),
    ] = "pretrained"
    weights_key: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        _about(
            "Key of the weight file to load, such as state_dict or teacher. none: EMA weights if "
            "present, as timm does.",
            "network",
        ),
    ] = None
    freeze_batchnorm: Annotated[
        bool,
        _about("Keep the pre-trained BatchNorm statistics; scale and bias still train.", "network"),
    ] = True

    # Method
    tuning: Annotated[
        Literal["full", "linear"],
        _about(
            "Parameters to train: full (all) or linear (one weight per feature of the last three "
            "blocks, and the last layer).",
            "method",
        ),
    ] = "full"
    linear_start: Annotated[
        Literal["ones", "authors"],
        _about(
            "Initialisation of linear tuning: ones (features divided by their block's RMS, weights "
            "1) or authors (features as they are, random weights, as in the paper's code).",
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
            "Probability of zeroing each penultimate feature during training.",
            "method",
            flag="--dropout",
        ),
    ] = 0.9
    masks: Annotated[
        int,
        Meta(ge=1, le=1024),
        _about("Dropout masks per backbone pass; the loss is averaged over them.", "method"),
    ] = 8
    head_steps: Annotated[
        int,
        NonNegative,
        _about(
            "Steps that train only the last layer, on cached features, before the main training.",
            "method",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = 0
    head_lr_factor: Annotated[
        float,
        Positive,
        _about("Last layer's learning rate as a multiple of --lr.", "method", most=1e6),
    ] = 1.0
    scale_head_lr: Annotated[
        bool,
        _about(
            "Divide the last layer's learning rate by the features' measured mean square, so that "
            "one setting suits networks of any feature scale.",
            "method",
        ),
    ] = False

    # Optimization
    steps: Annotated[
        int, Meta(ge=1), _about("Training steps.", "optimization", most=MOST_STEPS)
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
        _about("Learning rate schedule.", "optimization"),
    ] = "constant"
    lr_drops: Annotated[
        tuple[int, ...],
        _about(
            "Steps at which the step schedule multiplies the learning rate by 0.1.",
            "optimization",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = ()
    warmup_steps: Annotated[
        int,
        NonNegative,
        _about(
            "Steps of linear learning-rate warm-up from zero.",
            "optimization",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = 0
    grad_clip: Annotated[
        Annotated[float, Positive] | None,
        _about("Maximum gradient norm. none: no clipping.", "optimization", most=1e9),
    ] = None

    # Arms
    arms: Annotated[
        tuple[str, ...],
        _about("Additional predictors to evaluate during the run.", "arms", choices=ARMS),
    ] = ()
    average_from: Annotated[
        int,
        Positive,
        _about(
            "First step included in the weight average and the ensemble.",
            "arms",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = 1
    average_every: Annotated[
        int,
        Positive,
        _about(
            "Steps between updates of the weight average.",
            "arms",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = 1
    average_batchnorm: Annotated[
        Literal["average", "reestimate"],
        _about(
            "BatchNorm statistics of the averaged weights: average (averaged too) or reestimate "
            "(computed from training images).",
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
            "First step to evaluate, then every --eval-every steps. none: --eval-every.",
            "measuring",
            unit="steps",
            most=MOST_STEPS,
        ),
    ] = None
    log_every: Annotated[
        int,
        Positive,
        _about("Steps between logged losses.", "measuring", unit="steps", most=MOST_STEPS),
    ] = 10
    eval_batch_size: Annotated[
        int, Meta(ge=1, le=8192), _about("Evaluation batch size.", "measuring", unit="images")
    ] = 32

    # Machine
    seed: Annotated[
        int,
        Meta(ge=0, le=2**31 - 1),
        _about(
            "Random seed for initialisation, sampling, augmentation and dropout masks.", "machine"
        ),
    ] = 0
    device: Annotated[str, _about("Device: auto, cpu, cuda, cuda:N or mps.", "machine")] = "auto"
    gpus: Annotated[
        int,
        Meta(ge=1, le=64),
        _about(
            "GPUs per machine to split each batch over (processes with --device cpu). Results "
            "match a single GPU.",
            "machine",
        ),
    ] = 1
    nodes: Annotated[
        int,
        Meta(ge=1, le=64),
        _about("Slurm nodes to split each batch over, with --gpus each.", "machine"),
    ] = 1
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        _about(
            "Numeric precision. auto: the fastest on this device whose loss agrees with fp32.",
            "machine",
        ),
    ] = "auto"
    memory_format: Annotated[
        Literal["auto", "contiguous", "channels_last"],
        _about("Memory layout of images and features. auto: the faster on this device.", "machine"),
    ] = "auto"
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        _about("CPU threads per process. none: all cores.", "machine"),
    ] = None
    keep_checkpoints: Annotated[
        Literal["all", "best", "none"],
        _about(
            "Checkpoints to keep after the run: all, best (the selected step's) or none.",
            "machine",
            flag="--keep",
        ),
    ] = "all"
    recipe: Annotated[str, _about("Named set of defaults for the other fields.", "machine")] = (
        "default"
    )

    @property
    def weights_file(self) -> str | None:
        """Return the path of the weight file, or None if the weights are not a file."""
        return None if self.weights in ("pretrained", "none") else self.weights

    @property
    def ranks(self) -> int:
        """Return the number of training processes."""
        return self.gpus * self.nodes

    def __post_init__(self) -> None:
        for name, info in FIELDS.items():
            value = getattr(self, name)
            msgspec.structs.force_setattr(self, name, info.check(value))


class FieldInfo(msgspec.Struct, frozen=True):
    """One field of :class:`RunSpec`, as the interfaces need it.

    ``none_is_word``: ``none`` is an ordinary text value and does not mean None.
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
        """Return ``value`` converted to the field's type.

        Raises:
            SpecError: if it is not allowed; names field, value and allowed range.
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
            converted = tuple(dict.fromkeys(converted))  # without duplicates
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
    """Format a rejected value, shortened if it is long."""
    try:
        text = repr(",".join(map(str, value)) if isinstance(value, list | tuple) else value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return "a number with thousands of digits"
    if len(text) <= MOST_SHOWN:
        return text
    return f"{text[: MOST_SHOWN // 2]}… ({len(text):,} characters)"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean …?`` with the nearest known names, or an empty string."""
    spelled = {name.casefold(): name for name in known}
    matches = difflib.get_close_matches(word.casefold(), list(spelled), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(spelled[name] for name in matches)}?" if matches else ""


def nearest_field(key: str) -> str:
    """Return a hint that names the nearest fields, or the command that lists all."""
    return nearest(key, FIELDS) or nearest(key, SPELLINGS) or "  List them with: vld run --help"


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


def _written(bound: float) -> str:
    """Format a bound: integers with all digits, floats without ``.0``."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _allowed_words(kind: Any, choices: tuple[str, ...]) -> str:
    """Return the text of the choices a field accepts."""
    listed = ", ".join(choices)
    return f"any of {listed}" if get_origin(kind) is tuple else f"one of {listed}"


def _allowed(kind: Any, metas: list[Meta]) -> str:
    """Return the text of the values a field accepts."""
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
"""Every field of :class:`RunSpec` by name, in declaration order."""

SPELLINGS: Final[dict[str, str]] = {
    **{info.spelled_as_flag: name for name, info in FIELDS.items()},
    **{name: name for name in FIELDS},
}
"""Field names by the spellings users may write: the field's name or its flag."""
