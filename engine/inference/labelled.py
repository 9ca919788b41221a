"""The labelled images of an evaluation; found without importing torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.catalog import find_image_set, refuse_contradiction
from engine.datasets.folders import ImageSet
from engine.errors import DataError
from engine.inference.class_names import ClassesOfData, match_classes
from engine.protocol import nearest, spec_from_mapping
from engine.protocol.inference import EvaluateRun
from engine.rundir import RunDir
from engine.rundir.checkpoints import classes_of
from engine.text import listed, quoted


@dataclass(frozen=True)
class LabelledImages:
    """The images to evaluate.

    Attributes:
        image_set: all files of the data.
        rows: of the images to evaluate, by domain.
        labels: the run's class by row.
        left_out: number of images left out, by class of the data.
    """

    image_set: ImageSet
    rows: tuple[int, ...]
    labels: Mapping[int, int]
    left_out: dict[str, int]


def find_images(request: EvaluateRun) -> LabelledImages:
    """Return the images to evaluate, with labels of the run's classes.

    Raises:
        InputError: if there are none, their classes do not match the run's, or it has no such
            network.
    """
    run_dir = RunDir(Path(request.run_dir))
    known = classes_of(run_dir, request.arm, request.at)
    given = {"dataset": request.dataset, "data_dir": request.data_dir, "layout": request.layout}
    image_set = find_image_set(spec_from_mapping(given), use="test")
    refuse_contradiction(image_set)
    wanted = wanted_domains(image_set, request.domains)
    files = [(row, file) for row, file in enumerate(image_set.files) if file.domain in wanted]
    index_of = match_classes(
        ClassesOfData(
            run_dir.run_id,
            known,
            image_set.name,
            sorted({file.class_name for _, file in files}),
            image_set.domains,
        ),
        request.class_map,
    )
    labels: dict[int, int] = {}
    left_out: dict[str, int] = {}
    for row, file in files:
        label = index_of[file.class_name]
        if label is None:
            left_out[file.class_name] = left_out.get(file.class_name, 0) + 1
        else:
            labels[row] = label
    rows = sorted(labels, key=lambda row: (image_set.files[row].domain, row))
    return LabelledImages(image_set, tuple(rows), labels, left_out)


def wanted_domains(image_set: ImageSet, domains: Sequence[str]) -> set[str]:
    """Return the domains to evaluate; raise DataError for an unknown one."""
    for name in domains:
        if name not in image_set.domains:
            raise DataError(
                f"{image_set.name} has no domain {quoted(name)}.{nearest(name, image_set.domains)}"
                f" Its domains: {listed(map(quoted, image_set.domains))}."
            )
    return set(domains or image_set.domains)
