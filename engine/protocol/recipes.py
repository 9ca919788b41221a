"""Named sets of defaults: a recipe, then a data set's own, then what the user said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from engine.protocol.fields import SpecError, nearest
from engine.protocol.schedule import fit_schedule, misfits
from engine.protocol.spec import RunSpec, by_field, spec_from_mapping

RECIPES: Final[dict[str, dict[str, object]]] = {
    # Chosen by measurement on the embedded data: docs/recipe.md, "What was tuned on what". So is
    # that validation images are not augmented: "Selection of the step".
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
        "transforms": "pil",
        "validation_fraction": 0.2,
        # Their command line sets --seed alone: one split for all seeds.
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
        # Their code averages the weights of every update from the 301st on; their text says every
        # 300 steps.
        "arms": ["averaged", "ensemble"],
        "average_from": 301,
        "average_every": 1,
        "precision": "fp32",
    },
}

DATASET_DEFAULTS: Final[dict[str, dict[str, object]]] = {
    "emoji": {"target": "fluent-mono", "image_size": 96},
}
"""Fields that a data set sets unless the recipe or the user does."""


def resolve_spec(values: Mapping[str, object]) -> RunSpec:
    """Fill ``values`` (what the user said) from the recipe and the data set.

    Precedence, strongest first: ``values``, the recipe, the data set's defaults, the fields'
    defaults. A folder given by ``data_dir`` names the data set unless ``dataset`` does. The
    recipe's schedule is fitted to a shorter run (:func:`fit_schedule`). A field may be spelled
    as its flag.

    Raises:
        SpecError: for an unknown recipe, key or a value out of range.
    """
    values = by_field(values)
    recipe_name = values.get("recipe", "default")
    if not isinstance(recipe_name, str) or recipe_name not in RECIPES:
        known = ", ".join(RECIPES)
        hint = nearest(recipe_name, RECIPES) if isinstance(recipe_name, str) else ""
        raise SpecError(f"recipe is {recipe_name!r}, but must be one of {known}.{hint}")
    merged: dict[str, object] = {**RECIPES[recipe_name], **values}
    data_dir = merged.get("data_dir")
    if isinstance(data_dir, str) and "dataset" not in values:
        merged["dataset"] = data_dir.rstrip("/").rsplit("/", 1)[-1] or data_dir
    defaults = {} if data_dir else DATASET_DEFAULTS.get(str(merged.get("dataset", "emoji")), {})
    spec = spec_from_mapping({**defaults, **merged})
    if spec.schedule == "step" and not spec.lr_drops:
        raise SpecError(
            "schedule is 'step', but lr_drops is empty: give --lr-drops, such as "
            f"{spec.steps // 2}, or another --schedule."
        )
    spec = fit_schedule(spec, values.keys(), cast("int", RECIPES[recipe_name]["steps"]))
    check_gpus(spec)
    if is_address(spec.weights):
        raise SpecError(
            f"weights is {spec.weights!r}, which is an address: download the file, then give "
            "--weights FILE."
        )
    if spec.weights_key is not None and spec.weights_file is None:
        raise SpecError(
            f"weights_key is {spec.weights_key!r}, but weights is {spec.weights!r}, which is not "
            "a file: give --weights FILE, or leave out --weights-key."
        )
    if spec.micro_batch_size is not None and not spec.freeze_batchnorm:
        raise SpecError(
            f"micro_batch_size is {spec.micro_batch_size}, but freeze_batchnorm is false: "
            "BatchNorm's statistics would be those of the parts, not of the batch. Leave out "
            "--micro-batch, or give --freeze-batchnorm."
        )
    late = [arm for arm in ("averaged", "ensemble") if arm in spec.arms]
    if late and spec.average_from > spec.steps:
        raise SpecError(
            f"average_from is {spec.average_from}, but the run ends at step {spec.steps}: nothing "
            f"would be averaged. Give a lower --average-from, or leave {' and '.join(late)} out of "
            "--arms."
        )
    return spec


def resolve_new_spec(values: Mapping[str, object]) -> RunSpec:
    """Fill ``values`` as :func:`resolve_spec` does, for a run that is to be started.

    Raises:
        SpecError: see :func:`resolve_spec`, and for a setting that the run cannot honour.
    """
    spec = resolve_spec(values)
    for problem in misfits(spec, by_field(values).keys()):
        raise SpecError(problem)
    return spec


def is_address(weights: str) -> bool:
    """Say whether weights are named by an address on the web, not by a path."""
    return "://" in weights or weights.startswith(("hf-hub:", "hf_hub:"))


def too_few_gpus(spec: RunSpec, gpus: int, visible: str | None) -> str | None:
    """Return why a machine with so many GPUs has too few for the run, if it has.

    ``visible``: what ``CUDA_VISIBLE_DEVICES`` says there.
    """
    if spec.ranks == 1 or spec.device == "cpu" or spec.gpus <= gpus:
        return None
    which = f" (CUDA_VISIBLE_DEVICES={visible})" if visible else ""
    return f"gpus is {spec.gpus}, but this machine has {gpus}{which}: give --gpus {gpus} or less."


def too_few_images(spec: RunSpec, sources: int) -> str | None:
    """Return why a step with images of so many sources has too few for the run, if it has."""
    images = spec.batch_size * sources
    if spec.ranks <= images:
        return None
    return (
        f"{spec.ranks} GPUs or processes are to share a step of {images} images: give fewer "
        "--gpus, or a larger --batch."
    )


def too_few_to_split(count: int, validation_fraction: float) -> str | None:
    """Return why so many images of a domain cannot be split, if they cannot.

    ``int(count · validation_fraction)`` of them are for validation, as in DomainBed.
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


def check_gpus(spec: RunSpec) -> None:
    """Refuse what several GPUs cannot do together.

    Raises:
        SpecError: saying what to give instead.
    """
    if spec.ranks == 1:
        return
    shared = f"gpus is {spec.gpus}" if spec.gpus > 1 else f"nodes is {spec.nodes}"
    if spec.device not in ("auto", "cuda", "cpu"):
        raise SpecError(
            f"{shared}, but device is {spec.device!r}: give --device cuda, and choose "
            "among GPUs with CUDA_VISIBLE_DEVICES."
        )
    if not spec.freeze_batchnorm:
        raise SpecError(
            f"{shared}, but freeze_batchnorm is false: BatchNorm's statistics would be those of "
            "each GPU's images, not of the batch. Leave out --gpus and --nodes, or give "
            "--freeze-batchnorm."
        )
