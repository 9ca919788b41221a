"""All rows, by part of the table, and how to compute one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch

from benchmarks.parity import (
    augmentation,
    combined,
    data,
    linear,
    method,
    reported,
    schedule,
    updates,
    way,
    whole_run,
)
from benchmarks.parity.row import Check, Row

CHECKS: Final[Mapping[str, Mapping[str, Check]]] = {
    "Images": {
        "seeds": data.seeds,
        "split": data.split,
        "split-of-target": data.split_of_target,
        "file-order": data.file_order,
        "lacking-class": data.lacking_class,
        "evaluation-transform": data.evaluation_transform,
        "sixteen-bits": data.sixteen_bits,
        "draws": data.draws_with_replacement,
    },
    "Training transforms": {
        "pil": augmentation.pil_augmentation,
        "validation-images": augmentation.validation_images,
        "crop-sizes": augmentation.crop_sizes,
        "crop-places": augmentation.crop_places,
        "colours": augmentation.colours,
        "pixels": augmentation.pixels,
        "channels": augmentation.channels,
    },
    "Masks": {
        "masks-by-seed": method.masks_by_seed,
        "masks-in-distribution": method.masks_in_distribution,
        "several-masks": method.several_masks,
        "no-masks-at-evaluation": method.no_masks_at_evaluation,
    },
    "Update": {
        "update-fp32": updates.update_fp32,
        "update-fp64": updates.update_fp64,
        "update-head-factor": updates.update_head_factor,
        "update-groupdro": updates.update_groupdro,
    },
    "Linear fine-tuning": {
        "linear-features": linear.features,
        "linear-updates": linear.updates,
        "linear-ones": linear.ones,
    },
    "Course of a run": {
        "fields": schedule.fields,
        "learning-rates": schedule.learning_rates,
        "evaluations": schedule.evaluations,
        "evaluations-of-domainnet": schedule.evaluations_of_domainnet,
        "kept-for-soups": schedule.kept_for_soups,
        "splits-of-seeds": schedule.splits_of_seeds,
        "precision": schedule.precision,
        "precision-of-evaluations": schedule.precision_of_evaluations,
        "averages": schedule.averages,
        "whole-run": whole_run.whole_run,
    },
    "Combined networks": {
        "uniform-soup": combined.uniform_soup,
        "greedy-soup-by-algorithm": combined.greedy_soup_by_algorithm,
        "greedy-soup-by-code": combined.greedy_soup_by_code,
        "interpolation": combined.interpolation,
        "wise-ft": way.wise_ft_of_a_run,
    },
    "Report": {
        "clouds": reported.clouds_of_points,
        "choices": reported.choices,
        "differences": reported.differences,
    },
}


def run_check(check: Check) -> Row:
    """Compute a row, in a folder of its own, with the same random numbers every time."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        return check(Path(folder))
