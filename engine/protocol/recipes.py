"""Recipes (named sets of defaults) and the resolution of user settings into a spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from engine.protocol.embedded import DEFAULT_DATASET, dataset_defaults
from engine.protocol.fields import SpecError, nearest
from engine.protocol.methods import JOINED_BY, OBJECTIVES
from engine.protocol.schedule import evaluations_after, fit_schedule, misfits
from engine.protocol.spec import FIELDS, LAST, RunSpec, by_field, spec_from_mapping
from engine.text import counted

RECIPES: Final[dict[str, dict[str, object]]] = {
    # Tuned on the embedded data: docs/recipe.md, "What was tuned on what". Validation images are
    # not augmented because of "Selection of the step" there.
    "default": {
        "steps": 200,
        "eval_every": 50,
        "batch_size": 16,
        "optimizer": "adamw",
        "lr": 3e-4,
        "weight_decay": 1e-4,
        "schedule": "cosine",
        "warmup_steps": 20,
        "masks": 8,
        "head_steps": 1000,
        "head_lr_factor": 1.0,
        "scale_head_lr": True,
    },
    # Zhang & Bottou, arXiv 2403.00946, and their code, github.com/TjuJianyu/verylarge_dropout at
    # b23f9dc: docs/recipe.md compares it field by field.
    "paper": {
        "model": "resnet50.tv2_in1k",
        "image_size": 224,
        "steps": 10_001,
        "eval_from": 1,
        "eval_every": 300,
        "log_every": 100,
        "batch_size": 32,
        "sampling": "uniform",
        "transforms": "pil",
        "validation_fraction": 0.2,
        # Their command line sets only --seed: one split for all seeds.
        "trial_seed": 0,
        "augment_validation": True,
        "optimizer": "sgd",
        "momentum": 0.9,
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "schedule": "step",
        "lr_drops": [5_000, 10_000],
        "warmup_steps": 0,
        "grad_clip": None,
        "freeze_batchnorm": True,
        "dropout_rate": 0.9,
        "masks": 1,
        "head_steps": 0,
        "head_lr_factor": 1.0,
        "scale_head_lr": False,
        # Their code averages the weights after every update from the 301st; the paper says every
        # 300 steps.
        "arms": ["averaged", "ensemble"],
        "average_from": 301,
        "average_every": 1,
        "precision": "fp32",
    },
}

LINEAR_DEFAULTS: Final[dict[str, dict[str, object]]] = {
    "default": {"views": 6},
    "paper": {},  # their code augments every batch
}
"""Defaults of ``tuning = "linear"`` by recipe; the user overrides them."""


def resolve_spec(values: Mapping[str, object]) -> RunSpec:
    """Build a spec from the user's ``values``, the recipe and the data set.

    Precedence, highest first: ``values``, the recipe, the data set's defaults, the fields'
    defaults. ``dataset`` defaults to the name of the folder ``data_dir``, or to
    :data:`~engine.protocol.embedded.DEFAULT_DATASET`. The recipe's schedule is scaled for a shorter
    run (:func:`fit_schedule`). Keys may be field names or flags.

    Raises:
        SpecError: for an unknown recipe or key, a value out of range, or contradictory values.
    """
    values = by_field(values)
    recipe_name = values.get("recipe", "default")
    if not isinstance(recipe_name, str) or recipe_name not in RECIPES:
        known = ", ".join(RECIPES)
        hint = nearest(recipe_name, RECIPES) if isinstance(recipe_name, str) else ""
        raise SpecError(f"recipe is {recipe_name!r}, but must be one of {known}.{hint}")
    merged: dict[str, object] = {"dataset": DEFAULT_DATASET, **RECIPES[recipe_name], **values}
    data_dir = values.get("data_dir")
    folder = data_dir if isinstance(data_dir, str) else None
    if folder is not None and "dataset" not in values:
        merged["dataset"] = folder.rstrip("/").rsplit("/", 1)[-1] or folder
    defaults = dataset_defaults(str(merged["dataset"]), folder)
    linear = LINEAR_DEFAULTS[recipe_name] if merged.get("tuning") == "linear" else {}
    if JOINED_BY in str(merged.get("model", "")):
        linear = {**linear, "linear_features": "penultimate"}
    if merged.get("mask_at", LAST) != LAST:
        merged["masks"] = values.get("masks", 1)  # each would need a pass of the blocks behind it
    spec = spec_from_mapping({**defaults, **linear, **merged})
    check_models(spec)
    check_objectives(spec)
    check_class_weights(spec)
    check_masks(spec)
    if spec.schedule == "step" and not spec.lr_drops:
        raise SpecError(
            "schedule is 'step', but lr_drops is empty. Give --lr-drops, such as "
            f"{spec.steps // 2}, or another --schedule."
        )
    spec = fit_schedule(spec, values.keys(), cast("int", RECIPES[recipe_name]["steps"]))
    check_gpus(spec)
    check_initial_weights(spec)
    if spec.micro_batch_size is not None and not spec.freeze_batchnorm:
        raise SpecError(
            f"micro_batch_size is {spec.micro_batch_size}, but freeze_batchnorm is false: "
            "BatchNorm would use the statistics of each chunk, not of the batch. Drop "
            "--micro-batch, or give --freeze-batchnorm."
        )
    check_arms(spec)
    return spec


def resolve_new_spec(values: Mapping[str, object]) -> RunSpec:
    """Build the spec of a new run, as :func:`resolve_spec` does.

    Raises:
        SpecError: see :func:`resolve_spec`; also if a given setting would have no effect.
    """
    spec = resolve_spec(values)
    for problem in misfits(spec, by_field(values).keys()):
        raise SpecError(problem)
    return spec


def is_address(weights: str) -> bool:
    """Return whether weights are given as a URL rather than a path."""
    return "://" in weights or weights.startswith(("hf-hub:", "hf_hub:"))


def unknown_device(name: str, available: Sequence[str]) -> str:
    """Return the error message for a device that a machine does not have."""
    return (
        f"no device {name!r} on this machine.{nearest(name, ['auto', *available])} "
        f"Available: {', '.join(available)}."
    )


def outside_slurm_job(spec: RunSpec) -> str:
    """Return the error message for ``nodes`` outside of a Slurm job of that many nodes."""
    return (
        f"nodes is {spec.nodes}, but this process is not inside a {spec.nodes}-node Slurm job. "
        f"Submit with --on slurm or sbatch --nodes={spec.nodes}, or drop --nodes."
    )


def no_gpu(spec: RunSpec) -> str:
    """Return the error message for ``gpus`` on a machine without GPUs."""
    return (
        f"gpus is {spec.gpus}, but this machine has no GPU. Drop --gpus, or give --device cpu to "
        "use several processes."
    )


def too_few_gpus(spec: RunSpec, gpus: int, visible: str | None) -> str | None:
    """Return an error message if a machine with ``gpus`` GPUs has too few for the run.

    ``visible``: value of ``CUDA_VISIBLE_DEVICES`` there.
    """
    if spec.ranks == 1 or spec.device == "cpu" or spec.gpus <= gpus:
        return None
    which = f" (CUDA_VISIBLE_DEVICES={visible})" if visible else ""
    return f"gpus is {spec.gpus}, but this machine has {gpus}{which}. Give --gpus {gpus} or less."


def too_few_images(spec: RunSpec, sources: int) -> str | None:
    """Return an error message if a step has fewer images than the run has processes."""
    images, outliers = spec.batch_size * sources, spec.outliers_per_step
    shared = f"{spec.ranks} GPUs or processes cannot share a step of"
    if spec.ranks > images:
        return f"{shared} {images} images. Give fewer --gpus or a larger --batch."
    if 0 < outliers < spec.ranks:
        return f"{shared} {outliers} outliers. Give fewer --gpus or a larger --outlier-batch."
    return None


def too_few_outliers(outliers: str, readable: int, per_step: int) -> str | None:
    """Return an error message if a step draws more outliers than there are readable images."""
    if readable >= per_step:
        return None
    return (
        f"--outliers {outliers} has {counted(readable, 'readable image')}, but a step draws "
        f"{per_step:,}. Add images, or lower --outlier-batch."
    )


def too_few_sources(spec: RunSpec, sources: int) -> str | None:
    """Return an error message if an objective compares sources and the run has too few."""
    for name in spec.objectives:
        fewest = OBJECTIVES[name].fewest_sources
        if sources < fewest:
            return (
                f"objective {name} compares source domains and needs at least {fewest}, but the "
                f"run trains on {sources}. Add domains, or give another --objective."
            )
    return None


def too_few_to_split(count: int, validation_fraction: float) -> str | None:
    """Return an error message if ``count`` images of a domain cannot be split.

    ``int(count · validation_fraction)`` images are for validation, as in DomainBed.
    """
    held_out = int(count * validation_fraction)
    if 0 < held_out < count:
        return None
    empty = "validation" if held_out == 0 else "training"
    images, leave = ("1 image", "leaves") if count == 1 else (f"{count:,} images", "leave")
    return (
        f"{images} at --validation-fraction {validation_fraction:g} {leave} none for {empty}. "
        "Add images or change the fraction."
    )


def check_models(spec: RunSpec) -> None:
    """Check that networks used side by side are frozen, and read as one feature vector.

    Raises:
        SpecError: if not; states what to change.
    """
    if len(spec.models) == 1:
        return
    if not all(spec.models):
        raise SpecError(f"model is {spec.model!r}, but a name next to a + is missing.")
    twice = next((name for name in spec.models if spec.models.count(name) > 1), None)
    if twice is not None:
        raise SpecError(
            f"model is {spec.model!r}, but {twice} is named twice, which adds no features. Name "
            "each network once."
        )
    if spec.tuning != "linear":
        raise SpecError(
            f"model is {spec.model!r}, but tuning is {spec.tuning!r}: several networks can only be "
            "used frozen. Give --tuning linear, or a single --model."
        )
    if spec.linear_features != "penultimate":
        raise SpecError(
            f"model is {spec.model!r}, but linear_features is {spec.linear_features!r}: blocks of "
            "different networks cannot be added. Give --linear-features penultimate."
        )


def check_initial_weights(spec: RunSpec) -> None:
    """Check that initial weights are not a URL.

    Raises:
        SpecError: if they are; states what to change.
    """
    if is_address(spec.weights):
        raise SpecError(
            f"weights is {spec.weights!r}, but must not be a URL. Download the file, then give "
            "--weights FILE."
        )


def check_arms(spec: RunSpec) -> None:
    """Check that the run has steps to average and evaluations enough for each arm.

    Raises:
        SpecError: if not; states what to change.
    """
    late = [arm for arm in ("averaged", "ensemble") if arm in spec.arms]
    if late and spec.average_from > spec.steps:
        raise SpecError(
            f"average_from is {spec.average_from}, but the run ends at step {spec.steps}: nothing "
            f"would be averaged. Lower --average-from, or remove {' and '.join(late)} from --arms."
        )
    evaluations = evaluations_after(spec, 0)
    if "swad" in spec.arms and evaluations < spec.swad_converge:
        raise SpecError(
            f"arms contains swad, which needs {spec.swad_converge} evaluations to begin, but the "
            f"run has {evaluations}. Lower --eval-every or --swad-converge, or remove swad from "
            "--arms."
        )


def check_objectives(spec: RunSpec) -> None:
    """Check that joined objectives have a meaning together, and what they need.

    Raises:
        SpecError: if not; states what to change.
    """
    losses = [name for name in spec.objectives if OBJECTIVES[name].kind == "loss"]
    if len(losses) > 1:
        raise SpecError(
            f"objective is {spec.objective!r}, but {' and '.join(losses)} each define the loss of "
            "an image. Give only one of these objectives."
        )
    for name in spec.objectives:
        for other, reason in OBJECTIVES[name].excludes.items():
            if other in spec.objectives:
                raise SpecError(
                    f"objective is {spec.objective!r}, but {name} cannot be used with {other}: "
                    f"{reason}. Give only one of these objectives."
                )
        if problem := _unmet_need(spec, name):
            raise SpecError(problem)


def check_class_weights(spec: RunSpec) -> None:
    """Check that the frequency of classes is corrected once, and that images have one class.

    Raises:
        SpecError: if not; states what to change.
    """
    if spec.class_weights == "balanced" and spec.sampling == "balanced":
        raise SpecError(
            "class_weights is 'balanced', but sampling is 'balanced' too: classes would be drawn "
            "equally often, and rare ones count more than frequent ones. Drop --class-weights or "
            "--sampling."
        )
    if spec.class_weights == "balanced" and "mixup" in spec.objectives:
        raise SpecError(
            f"class_weights is 'balanced', but objective is {spec.objective!r}: a mixed image has "
            "two labels. Drop --class-weights, or give --sampling balanced instead."
        )


def _unmet_need(spec: RunSpec, objective: str) -> str | None:
    """Return an error message if the run does not have what an objective needs."""
    needs = OBJECTIVES[objective]
    if spec.batch_size < needs.fewest_images:
        return (
            f"batch_size is {spec.batch_size}, but objective {objective} needs at least "
            f"{needs.fewest_images} images of each source. Raise --batch, or give another "
            "--objective."
        )
    if needs.trains_features and spec.tuning == "linear" and spec.linear_features != "blocks":
        return (
            f"linear_features is {spec.linear_features!r}, but objective {objective} acts on the "
            "features only, which are fixed then. Give --linear-features blocks, or another "
            "--objective."
        )
    for info in (FIELDS[name] for name in needs.needs):
        if getattr(spec, info.name) is None:
            return (
                f"objective is {spec.objective!r}, but {info.name} is none. Give {info.flag} "
                f"{info.metavar}, or another --objective."
            )
    return None


def check_masks(spec: RunSpec) -> None:
    """Check that masks inside the backbone can be drawn.

    Raises:
        SpecError: if not; states what to change.
    """
    if spec.mask_at == LAST:
        return
    masked = f"mask_at is {spec.mask_at!r}, but"
    if spec.tuning == "linear":
        raise SpecError(
            f"{masked} tuning is 'linear', which does not train the blocks behind it. Give "
            f"--tuning full, or drop --mask-at."
        )
    if spec.mask_basis != "units":
        raise SpecError(
            f"{masked} mask_basis is {spec.mask_basis!r}: only the penultimate features have a "
            "basis. Drop --mask-at or --mask-basis."
        )
    if spec.outliers is not None:
        raise SpecError(
            f"{masked} the run has outliers, which are masked at the last layer only. Drop "
            "--mask-at or --outliers."
        )
    if spec.masks != 1:
        raise SpecError(
            f"{masked} masks is {spec.masks}: each mask inside the network would need a pass of "
            "the rest of it. Give --masks 1, or drop --mask-at."
        )


def check_gpus(spec: RunSpec) -> None:
    """Check that the settings work on several GPUs.

    Raises:
        SpecError: if not; states what to change.
    """
    if spec.ranks == 1:
        return
    shared = f"gpus is {spec.gpus}" if spec.gpus > 1 else f"nodes is {spec.nodes}"
    if spec.device not in ("auto", "cuda", "cpu"):
        raise SpecError(
            f"{shared}, but device is {spec.device!r}. Give --device cuda, and select GPUs with "
            "CUDA_VISIBLE_DEVICES."
        )
    if not spec.freeze_batchnorm:
        raise SpecError(
            f"{shared}, but freeze_batchnorm is false: BatchNorm would use the statistics of each "
            "GPU's images, not of the batch. Drop --gpus and --nodes, or give --freeze-batchnorm."
        )
